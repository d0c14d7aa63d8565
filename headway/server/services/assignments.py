"""The verbs of assignments: claim, refuse; and which ones a worker is to have."""

from __future__ import annotations

from headway.core import transitions
from headway.core.end_reason import EndReason
from headway.core.protocol import Claimed, OpenAssignment
from headway.errors import ClaimRefused, Damaged, NotFound
from headway.server.clock import Clock
from headway.server.services.checkpoints import Checkpoints
from headway.server.services.datasets import Datasets
from headway.server.services.jobs import Jobs
from headway.server.services.workers import Workers
from headway.server.tokens import Tokens, for_rank


class Assignments:
    """What workers ask about the shares of attempts that they run."""

    def __init__(
        self,
        *,
        clock: Clock,
        tokens: Tokens,
        jobs: Jobs,
        workers: Workers,
        datasets: Datasets,
        checkpoints: Checkpoints,
    ) -> None:
        self._clock = clock
        self._tokens = tokens
        self._jobs = jobs
        self._workers = workers
        self._datasets = datasets
        self._checkpoints = checkpoints

    def open_of(self, worker_id: str) -> tuple[OpenAssignment, ...]:
        """The assignments that the worker is to have; it ends what is not among them."""
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
            )
            for job, attempt, assignment in self._jobs.unsettled.held_by(worker_id)
        )

    def ranks_of(self, worker_id: str) -> dict[str, int]:
        """The jobs that use slots of the worker, by name, and how many."""
        return {one.job.name: one.assignment.rank_count for one in self._jobs.unsettled.held_by(worker_id)}

    async def claim(self, worker_id: str, job_id: str, number: int, endpoint: str) -> Claimed:
        """The worker takes its assignment; repeated, the same answer, with the endpoint once all have claimed.

        Raises WorkerLost, ClaimRefused, NotFound.
        """
        self._workers.check_ready(worker_id)
        job = await self._jobs.update(job_id, lambda job: transitions.claim(job, number, worker_id, endpoint))
        attempt = job.attempt
        assignment = attempt.assignment_of(worker_id) if attempt else None
        if attempt is None or assignment is None:
            raise ClaimRefused(f"Attempt {number} of job {job.name} is not for this worker.")
        dataset = await self._datasets.find(job.project, job.spec.dataset_name) if job.spec.dataset_name else None
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

    async def refuse(self, worker_id: str, job_id: str, number: int) -> None:
        """The worker has no room for the assignment. Raises WorkerLost, NotFound."""
        self._workers.check_ready(worker_id)
        now = self._clock.now()
        await self._jobs.update(job_id, lambda job: transitions.refuse(job, number, worker_id, now))

    async def ended_jobs(self, job_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Those of some jobs that have ended, or do not exist: what a worker keeps for them is not needed any more."""
        ended = []
        for job_id in job_ids:
            try:
                if (await self._jobs.by_id(job_id)).status.terminal:
                    ended.append(job_id)
            except Damaged:
                continue  # a backup may bring it back, and its files are still needed then
            except NotFound:
                ended.append(job_id)
        return tuple(ended)
