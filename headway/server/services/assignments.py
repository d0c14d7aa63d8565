"""The verbs of assignments: claim, refuse; and which assignments a worker should have."""

from __future__ import annotations

from collections.abc import Callable

from headway.core import transitions
from headway.core.end_reason import EndReason
from headway.core.job import Job
from headway.core.protocol import Claimed, OpenAssignment
from headway.errors import ClaimRefused, Damaged, NotFound
from headway.server.access import Caller, actor_of, require_as_worker
from headway.server.clock import Clock
from headway.server.counters import ServerCounters
from headway.server.services.checkpoints import Checkpoints
from headway.server.services.datasets import Datasets
from headway.server.services.jobs import Jobs
from headway.server.services.workers import Workers
from headway.server.tokens import Tokens, for_rank
from headway.server.worker_registry import WorkerRegistry


class Assignments:
    """Answers what workers ask about their assignments."""

    def __init__(
        self,
        *,
        clock: Clock,
        tokens: Tokens,
        jobs: Jobs,
        registry: WorkerRegistry,
        workers: Workers,
        datasets: Datasets,
        checkpoints: Checkpoints,
        counters: ServerCounters,
        is_watched: Callable[[str], bool],
    ) -> None:
        """`is_watched`: whether a user follows the logs or metrics of a job."""
        self._clock = clock
        self._tokens = tokens
        self._jobs = jobs
        self._registry = registry
        self._workers = workers
        self._datasets = datasets
        self._checkpoints = checkpoints
        self._counters = counters
        self._is_watched = is_watched

    def open_of(self, worker_id: str) -> tuple[OpenAssignment, ...]:
        """The assignments that the worker should have. It ends all others."""
        return tuple(
            OpenAssignment(
                job=job.id,
                attempt=attempt.number,
                state=assignment.state,
                ready=attempt.all_claimed,
                finished=attempt.all_finished,
                kill=attempt.kill,
                saves=attempt.reason is not None and attempt.reason.saves,
                stacks=attempt.reason is EndReason.STALLED,
                watched=self._is_watched(job.id),
            )
            for job, attempt, assignment in self._jobs.unsettled.held_by(worker_id)
        )

    async def claim(self, caller: Caller, worker_id: str, job_id: str, number: int, endpoint: str) -> Claimed:
        """Let the worker take its assignment. A repeated claim gets the same answer; it has the endpoint once all have
        claimed.

        Raises WorkerLost, ClaimRefused, NotFound.
        """
        await self._check_own(caller, worker_id, job_id, number)
        try:
            job = await self._jobs.update(
                job_id, lambda job: transitions.claim(job, number, worker_id, endpoint), actor_of(caller)
            )
        except ClaimRefused:
            self._counters.refused_claims += 1
            raise
        attempt = job.attempt
        assignment = attempt.assignment_of(worker_id) if attempt else None
        if attempt is None or assignment is None:
            raise ClaimRefused(f"Attempt {number} of job {job.name} is not for this worker.")
        dataset = await self._datasets.find(job.project, job.spec.dataset) if job.spec.dataset else None
        checkpoint = job.checkpoints[-1] if job.checkpoints else None
        parts = await self._checkpoints.parts(job, checkpoint) if checkpoint else {}
        needed = checkpoint.needed_parts(assignment.ranks) if checkpoint else set()
        return Claimed(
            checkpoint=checkpoint,
            checkpoint_parts={rank: part for rank, part in parts.items() if rank in needed},
            job=job.id,
            job_name=job.name,
            project=job.project,
            attempt=number,
            spec=job.spec,
            dataset=dataset,
            first_rank=assignment.first_rank,
            rank_count=assignment.rank_count,
            world_size=attempt.world_size,
            group_rank=attempt.assignments.index(assignment),
            group_count=len(attempt.assignments),
            endpoint=attempt.endpoint if attempt.all_claimed else None,
            rank_token=self._tokens.make(for_rank(job.id, number), made_at=attempt.placed_at),
        )

    async def refuse(self, caller: Caller, worker_id: str, job_id: str, number: int) -> None:
        """The worker has too few free slots for the assignment. Raises WorkerLost, NotFound."""
        await self._check_own(caller, worker_id, job_id, number)
        now = self._clock.now()
        await self._jobs.update(job_id, lambda job: transitions.refuse(job, number, worker_id, now), actor_of(caller))
        self._counters.refused_assignments += 1

    async def _check_own(self, caller: Caller, worker_id: str, job_id: str, number: int) -> None:
        """Raises NotFound for an assignment that the worker never had, WorkerLost for a lost worker."""
        require_as_worker(caller, worker_id)
        self._workers.check_ready(worker_id)
        absent = NotFound(f"Worker {worker_id} has no assignment of attempt {number} of job {job_id}.")
        try:
            attempt = await self._jobs.attempt(await self._jobs.by_id(job_id), number)
        except NotFound:
            raise absent from None
        if attempt is None or attempt.assignment_of(worker_id) is None:
            raise absent

    async def ended_jobs(self, caller: Caller, worker_id: str, job_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Which of these jobs have ended or do not exist: the worker no longer needs their files.

        A job that the worker never had is treated as one that does not exist.
        """
        require_as_worker(caller, worker_id)
        self._workers.check_ready(worker_id)
        ended = []
        for job_id in job_ids:
            try:
                job = await self._jobs.by_id(job_id)
            except Damaged:
                continue  # a restored backup may have it, and then needs its files
            except NotFound:
                ended.append(job_id)
                continue
            if job.status.terminal or not await self._had(worker_id, job):
                ended.append(job_id)
        return tuple(ended)

    async def _had(self, worker_id: str, job: Job) -> bool:
        """Whether the worker, now or under an earlier registration, had an assignment of the job.

        Earlier registrations are not remembered forever, so its name counts as well: its files may still be needed.
        """
        lives, name = self._registry.lives_of(worker_id), self._registry.worker(worker_id).name
        attempts = await self._jobs.attempts(job)
        given = (one for attempt in attempts for one in attempt.assignments)
        return any(one.worker in lives or one.worker_name == name for one in given)
