"""Explains a job's state: a sentence for people, its place in the queue, and where it would run now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from headway.core.allocation import FLEET
from headway.core.allocation_transitions import seats_of
from headway.core.cold_start import cold_reason
from headway.core.job import Job
from headway.core.placement import Gang, gang_of, place_queue
from headway.core.resume_point import resume_sentence, stop_sentence
from headway.core.status import JobStatus
from headway.core.training_progress import TrainingProgress
from headway.core.waiting import QueuePlaces, Waiting, explain_misfit, waiting
from headway.server.access import Action, Caller
from headway.server.allocator import Allocator
from headway.server.services.jobs import Jobs
from headway.server.services.queue import Queue
from headway.server.services.telemetry import Telemetry
from headway.server.services.workers import Workers
from headway.server.worker_registry import WorkerRegistry

_ANOTHER = "a job of another project"


class Explained(NamedTuple):
    """A job, a sentence about its state, why it waits if it does, and its progress if it trains."""

    job: Job
    sentence: str
    waiting: Waiting | None
    progress: TrainingProgress | None


class Planned(NamedTuple):
    """The result of a submission at this moment. `workers` maps names to ranks; empty if the job would wait.

    `cold`: why its ranks would start as new processes; None if they would start warm.
    """

    sentence: str
    workers: dict[str, int]
    cold: str | None


class Explanations:
    """Reads the queue, the fleet and the active jobs. Changes nothing."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        queue: Queue,
        workers: Workers,
        telemetry: Telemetry,
        registry: WorkerRegistry,
        allocators: Mapping[str, Allocator],
    ) -> None:
        self._jobs = jobs
        self._queue = queue
        self._workers = workers
        self._telemetry = telemetry
        self._registry = registry
        self._allocators = allocators

    async def explain(self, caller: Caller, project: str, reference: str) -> Explained:
        """One job with its explanation."""
        job = await self._jobs.allowed(caller, Action.JOBS_READ, project, reference)
        sentence, waits = self._explained(job, lambda: self._waiting(job))
        return Explained(job, sentence, waits, self._telemetry.progress(job))

    def places(self, project: str) -> QueuePlaces:
        """The queue now, as the project may see it."""
        queue = [gang for gang in self._queue.gangs() if gang.engine == FLEET]
        return QueuePlaces(_named(queue, project), self._workers.placeable(), self._active(project))

    def briefly(self, job: Job, places: QueuePlaces) -> tuple[str, Waiting | None]:
        """A sentence about the job's state, without an estimate, and why it waits if it does."""
        return self._explained(job, lambda: places.briefly(job))

    def misfit(self, job: Job) -> str | None:
        """Why the job cannot start even on an empty fleet; None if it can."""
        return None if job.spec.allocated else explain_misfit(job, self._registry.fleet())

    def plan(self, job: Job) -> Planned:
        """Where a job would run if it were submitted now."""
        if job.spec.allocated:
            seats, slots = seats_of(job.spec)
            many = f"{seats} workers" if seats > 1 else "a worker"
            each = f" with {slots} slots" + (" each" if seats > 1 else "") if slots > 1 else ""
            return Planned(f"Engine {job.spec.engine} would make {many}{each} for it.", {}, cold_reason(job.spec))
        used_slots = self._jobs.unsettled.used_slots()
        placements = place_queue(self._queue_with(job), self._workers.placeable(), used_slots)
        shares = next((shares for placed, shares in placements if placed.job == job.id), [])
        sentence = "It would start at once." if shares else self._waiting(job).sentence
        return Planned(sentence, {share.worker_name: share.rank_count for share in shares}, cold_reason(job.spec))

    def _explained(self, job: Job, waiting_now: Callable[[], Waiting]) -> tuple[str, Waiting | None]:
        if job.status is JobStatus.QUEUED and job.hold:
            if job.checkpoints:
                return f"Paused at {job.checkpoints[-1].words}. Resume it with `headway resume {job.name}`.", None
            return f"Paused. Resume it with `headway resume {job.name}`. {resume_sentence(job)}", None
        if job.status is JobStatus.QUEUED and job.spec.allocated:
            return f"{job.sentence} {self._allocation_sentence(job)}".strip(), None
        if job.status is JobStatus.QUEUED:
            waits = waiting_now()
            return f"{job.sentence} {waits.sentence}".strip(), waits
        if job.status is JobStatus.STARTING:
            return "Its workers are preparing and starting its ranks.", None
        if job.status is JobStatus.RUNNING:
            return "Training." if job.spec.trainer else "Running.", None
        if job.status is JobStatus.STOPPING and job.hold:
            return stop_sentence(job), None
        if job.status is JobStatus.STOPPING and not job.sentence:
            return "Its ranks are ending.", None
        return job.sentence, None

    def _allocation_sentence(self, job: Job) -> str:
        allocator = self._allocators.get(str(job.spec.engine))
        if allocator is None:
            return f"Waiting for engine {job.spec.engine}, which HEADWAY_ENGINE_URLS of the server does not name."
        return "About to be placed." if gang_of(job).seats is not None else allocator.sentence(job)

    def _waiting(self, job: Job) -> Waiting:
        """Where a queued job stands, or one that is not submitted yet would. Jobs of other projects have no name."""
        remaining_seconds = self._telemetry.remaining_seconds()
        queue, active = _named(self._queue_with(job), job.project), self._active(job.project)
        return waiting(job, queue, self._workers.placeable(), active, remaining_seconds)

    def _active(self, project: str) -> list[Job]:
        return [
            one if one.project == project else one.model_copy(update={"name": _ANOTHER})
            for one in self._jobs.unsettled.active()
        ]

    def _queue_with(self, job: Job) -> list[Gang]:
        """The queue. A job that is not in it is added behind those of the same priority."""
        queue = [gang for gang in self._queue.gangs() if gang.engine == FLEET]
        if job.id not in self._queue:
            queue.append(gang_of(job))
            queue.sort(key=lambda gang: -gang.priority)
        return queue


def _named(queue: Iterable[Gang], project: str) -> list[Gang]:
    """The queue as a project may see it."""
    return [gang if gang.project == project else gang._replace(name=_ANOTHER) for gang in queue]
