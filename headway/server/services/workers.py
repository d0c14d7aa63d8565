"""The verbs of workers: register, heartbeat, claim, refuse; and giving one up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from headway.brokers.envelope import report_key
from headway.core import transitions
from headway.core.end_reason import EndReason
from headway.core.faults import restored
from headway.core.protocol import (
    Claimed,
    CommittedStream,
    Heartbeat,
    HeartbeatAnswer,
    OpenAssignment,
    Registered,
    Registration,
)
from headway.core.status import AssignmentState
from headway.core.waiting import remaining_seconds
from headway.core.worker import Worker, WorkerLoad, WorkerState
from headway.engines.base import Engine
from headway.errors import ClaimRefused, Damaged, NotFound, WorkerLost
from headway.server.access import Caller, CallerKind
from headway.server.clock import Clock
from headway.server.leases import Leases
from headway.server.recorder import Recorder
from headway.server.services.checkpoints import Checkpoints
from headway.server.services.datasets import Datasets
from headway.server.services.inquiries import Inquiries
from headway.server.services.jobs import Jobs, draw_id
from headway.server.tokens import Tokens
from headway.settings import Settings

_log = logging.getLogger(__name__)
_PROBE_TIMEOUT_SECONDS = 1.0
_PROBES = 10
_SHUT_DOWN = "it was shut down"


class Workers:
    """What workers ask of the server."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        tokens: Tokens,
        jobs: Jobs,
        engine: Engine,
        leases: Leases,
        recorder: Recorder,
        datasets: Datasets,
        inquiries: Inquiries,
        checkpoints: Checkpoints,
        leads: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._tokens = tokens
        self._jobs = jobs
        self._engine = engine
        self._leases = leases
        self._recorder = recorder
        self._datasets = datasets
        self._inquiries = inquiries
        self._checkpoints = checkpoints
        self._leads = leads
        self._losing: set[str] = set()
        self._leaving: set[str] = set()
        self._loads: dict[str, WorkerLoad] = {}
        self._steps: dict[str, dict[str, int]] = {}
        self.on_change: list[Callable[[], None]] = []

    async def open(self) -> None:
        """Expect the known workers to come back, each with a full term; finish giving up those that were lost."""
        ready = {worker.id for worker in self._engine.workers()}
        for worker_id in ready:
            self._leases.watch(worker_id)
        for job in list(self._jobs.unsettled.values()):
            for assignment in job.attempt.assignments if job.attempt else ():
                if assignment.worker not in ready:
                    await self._lose_ranks(assignment.worker)

    async def register(self, registration: Registration) -> Registered:
        """Take a worker in under a new id; its former id is lost from now on."""
        former = None
        if registration.former_token:
            former = self._tokens.read(registration.former_token).worker
        if former is not None:
            await self.lose(former, "it was started anew")
        taken = {worker.name for worker in self._engine.workers()}
        name = registration.worker.name
        suffix = 2
        while name in taken:
            name = f"{registration.worker.name[:56]}-{suffix}"
            suffix += 1
        worker_id = draw_id("w-")
        description = registration.worker.model_copy(update={"name": name})
        await self._engine.register(worker_id, description, former, self._clock.now())
        self._leases.watch(worker_id)
        _log.info("Worker %s registered with %d slots.", name, description.slots)
        self._changed()
        return Registered(
            id=worker_id,
            token=self._tokens.make(Caller(CallerKind.WORKER, worker=worker_id)),
            name=name,
            timeouts=self._settings.timeouts,
            broker=f"/api/v1/workers/{worker_id}/broker",
            assignments=_external(self._settings.effective_assignments_url),
            reports=_external(self._settings.effective_reports_url),
            report_key=report_key(self._tokens.secret, worker_id),
        )

    async def heartbeat(self, worker_id: str, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Answer what the worker is to have. Raises WorkerLost."""
        self._ready(worker_id)
        self._leases.heartbeat(worker_id, heartbeat.last_answer, frozenset(heartbeat.preparing))
        if heartbeat.leaving:
            self._leaving.add(worker_id)
        if heartbeat.load is not None:
            self._loads[worker_id] = heartbeat.load
        self._steps[worker_id] = heartbeat.steps
        with self._leases.answering(worker_id):
            committed = [
                CommittedStream(stream=stream, through=await self._recorder.committed(stream))
                for stream in heartbeat.streams
            ]
        return HeartbeatAnswer(
            counter=heartbeat.counter,
            assignments=self._open_assignments(worker_id),
            committed=tuple(committed) if self._leads() else (),
            inquiries=self._inquiries.of_worker(worker_id),
        )

    def _open_assignments(self, worker_id: str) -> tuple[OpenAssignment, ...]:
        found = []
        for job in self._jobs.unsettled.values():
            attempt = job.attempt
            assignment = attempt.assignment_of(worker_id) if attempt else None
            if attempt is None or assignment is None or assignment.state is AssignmentState.RELEASED:
                continue
            found.append(
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
            )
        return tuple(found)

    async def claim(self, worker_id: str, job_id: str, number: int, endpoint: str) -> Claimed:
        """The worker takes its assignment; repeated, the same answer, with the endpoint once all have claimed."""
        self._ready(worker_id)
        job = await self._jobs.update(job_id, lambda job: transitions.claim(job, number, worker_id, endpoint))
        attempt = job.attempt
        assignment = attempt.assignment_of(worker_id) if attempt else None
        if attempt is None or assignment is None:
            raise ClaimRefused(f"Attempt {number} of job {job.name} is not for this worker.")
        dataset = await self._datasets.find(job.spec.dataset_name) if job.spec.dataset_name else None
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
            rank_token=self._tokens.make(Caller(CallerKind.RANK, job=job.id, attempt=number)),
        )

    async def ended_jobs(self, job_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Those of some jobs that have ended, or do not exist: what a worker keeps for them is not needed any more."""
        ended = []
        for job_id in job_ids:
            try:
                if (await self._jobs.find(job_id)).status.terminal:
                    ended.append(job_id)
            except Damaged:
                continue  # a backup may bring it back, and its files are still needed then
            except NotFound:
                ended.append(job_id)
        return tuple(ended)

    async def refuse(self, worker_id: str, job_id: str, number: int) -> None:
        """The worker has no room for the assignment."""
        self._ready(worker_id)
        now = self._clock.now()
        await self._jobs.update(job_id, lambda job: transitions.refuse(job, number, worker_id, now))

    async def drain(self, name: str, *, draining: bool) -> Worker:
        """Move a worker's jobs elsewhere and give it no more, or let it take jobs again. Raises NotFound."""
        worker_id = self._connected(name).id
        await self._engine.drain(worker_id, draining=draining)
        now = self._clock.now()
        if draining:
            for job in list(self._jobs.unsettled.values()):
                if job.attempt is not None and job.attempt.assignment_of(worker_id):
                    await self._jobs.update(job.id, lambda job: transitions.drain_worker(job, worker_id, now))
        self._changed()
        return self._engine.worker(worker_id)

    async def restore(self, name: str) -> Worker:
        """End a worker's quarantine, so that it takes jobs again. Raises NotFound."""
        worker = await self._engine.judge(self._connected(name).id, restored)
        self._changed()
        return worker

    def _connected(self, name: str) -> Worker:
        found = [worker for worker in self._engine.workers() if name in (worker.name, worker.id)]
        if not found:
            raise NotFound(f"Worker {name} is not connected. `headway workers` lists those that are.")
        return found[0]

    def placeable(self) -> list[Worker]:
        """The workers that a job can be placed on: those that are not being shut down."""
        return [worker for worker in self._engine.workers() if worker.id not in self._leaving]

    async def leave(self, worker_id: str) -> None:
        """The worker has ended its ranks and sent all it had; its process is about to end."""
        self._ready(worker_id)
        await self.lose(worker_id, _SHUT_DOWN)

    def speaks_for(self, worker_id: str) -> frozenset[str]:
        """The worker's id and its former ones: whose reports it may send."""
        ids: set[str] = set()
        current: str | None = worker_id
        while current is not None and current not in ids:
            ids.add(current)
            try:
                current = self._engine.worker(current).former
            except NotFound:
                break
        return frozenset(ids)

    async def connection_closed(self, worker_id: str) -> None:
        """Probe the worker's port: refused means that its process is gone, anything else waits for the lease."""
        worker = self._engine.worker(worker_id)
        if worker.state is WorkerState.LOST:
            return
        try:
            for _ in range(_PROBES):
                async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
                    answered = await _greets(worker)
                if answered:
                    return
                # A dying process may close its connection before its port: look again.
                await asyncio.sleep(_PROBE_TIMEOUT_SECONDS / _PROBES)
        except ConnectionRefusedError:
            await self.lose(worker_id, "its process ended")
        except (OSError, TimeoutError) as error:
            _log.warning("Worker %s closed its connection and does not answer: %s", worker.name, error)

    async def lose(self, worker_id: str, because: str) -> None:
        """Give a worker up for good: what it reported counts, then its attempts end."""
        if worker_id in self._losing:
            return
        self._losing.add(worker_id)
        try:
            await self._recorder.catch_up()
            if await self._engine.lose(worker_id, because, self._clock.now()):
                name = self._engine.worker(worker_id).name
                if because == _SHUT_DOWN:
                    _log.info("Worker %s has shut down.", name)
                else:
                    _log.warning("Worker %s is lost: %s.", name, because)
            await self._lose_ranks(worker_id)
            self._leases.forget(worker_id)
            self._loads.pop(worker_id, None)
            self._steps.pop(worker_id, None)
            self._leaving.discard(worker_id)
        except NotFound:
            return
        finally:
            self._losing.discard(worker_id)
        self._changed()

    async def _lose_ranks(self, worker_id: str) -> None:
        now = self._clock.now()
        for job in list(self._jobs.unsettled.values()):
            if job.attempt is not None and job.attempt.assignment_of(worker_id):
                await self._jobs.update(job.id, lambda job: transitions.lose_worker(job, worker_id, now))

    def load(self, worker_id: str) -> WorkerLoad | None:
        """What is used of the worker's machine, as its last heartbeat said."""
        return self._loads.get(worker_id)

    def remaining_seconds(self) -> dict[str, float]:
        """How long the jobs that say how far they are will probably still train, by id."""
        found: dict[str, float] = {}
        for job in self._jobs.unsettled.values():
            workers = [one.worker for one in job.attempt.assignments] if job.attempt else []
            steps = [self._steps[worker][job.id] for worker in workers if job.id in self._steps.get(worker, {})]
            seconds = remaining_seconds(job, max(steps, default=None), self._clock.now())
            if seconds is not None:
                found[job.id] = seconds
        return found

    def ranks(self, worker_id: str) -> dict[str, int]:
        """The jobs that use slots of the worker, by name, and how many."""
        found: dict[str, int] = {}
        for job in self._jobs.unsettled.values():
            assignment = job.attempt.assignment_of(worker_id) if job.attempt else None
            if assignment is not None and assignment.state is not AssignmentState.RELEASED:
                found[job.name] = assignment.rank_count
        return found

    def _ready(self, worker_id: str) -> None:
        try:
            worker = self._engine.worker(worker_id)
        except NotFound as error:
            raise WorkerLost(f"Worker {worker_id} is not known here. Register again.") from error
        if worker.state is WorkerState.LOST:
            raise WorkerLost(f"Worker {worker.name} was declared lost because {worker.lost_because}. Register again.")
        if worker_id in self._losing:
            raise WorkerLost(f"Worker {worker.name} is being declared lost. Register again.")

    def _changed(self) -> None:
        for tell in self.on_change:
            tell()


def _external(url: str) -> str | None:
    """What workers are told of a broker: nothing of the embedded one, which they reach over their own connection."""
    return None if url.startswith("embedded:") else url


async def _greets(worker: Worker) -> bool:
    """Whether the worker's port answers with its greeting. Raises ConnectionRefusedError, OSError."""
    reader, writer = await asyncio.open_connection(worker.host, worker.port)
    try:
        return bool(await reader.read(1))
    except ConnectionResetError:
        return False
    finally:
        writer.close()
