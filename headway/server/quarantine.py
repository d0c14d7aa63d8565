"""Quarantines workers that fail attempts by their own faults, and decides when to try one again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from headway.core.attempt import Attempt
from headway.core.failure import Failure, explain_end
from headway.core.job import Job
from headway.core.placement import gang_of, has_labels
from headway.core.worker import Worker, WorkerFault
from headway.core.worker_faults import blamed, breaks_workers, excused, is_fault, proven
from headway.errors import Conflict, NotFound
from headway.server.clock import Clock
from headway.server.counters import ServerCounters
from headway.server.worker_registry import WorkerRegistry

_log = logging.getLogger(__name__)


class Quarantine:
    """Judges each attempt that ended or started to train, before more attempts are placed.

    Faults are stored with the worker, so they outlive this server. A pause counts on the monotonic clock from when this
    server first saw the quarantine. A worker that was restarted is tried at once.
    """

    def __init__(self, clock: Clock, registry: WorkerRegistry, counters: ServerCounters) -> None:
        self._clock = clock
        self._registry = registry
        self._counters = counters
        self._unjudged: dict[str, Job] = {}
        self._rests_since: dict[str, float] = {}
        self._began_at = float("inf")

    def open(self) -> None:
        """Note when this server started. By now its clock continues the former leader's time."""
        self._began_at = self._clock.now()

    @property
    def holds(self) -> bool:
        """Whether any worker waits for its next try."""
        return any(worker.quarantine is not None for worker in self._registry.workers())

    def job_changed(self, job: Job) -> None:
        """Note an attempt that ended or started to train."""
        attempt = job.attempt
        if attempt is not None and (attempt.ended_at is not None or "first_step" in attempt.stages):
            self._unjudged[job.id] = job

    async def judge(self) -> None:
        """Blame or clear workers for the attempts that were noted. Raises Unavailable; then the next call does it."""
        for job in list(self._unjudged.values()):
            attempt = job.attempt
            failure = attempt.failure if attempt is not None else None
            if attempt is not None and failure is not None and is_fault(attempt, failure.reason):
                if attempt.ended_at is not None:
                    await self._blame(job, attempt, failure)
            elif attempt is not None and attempt.started:
                for assignment in attempt.assignments:
                    await self._change(assignment.worker, _proof(attempt))
            if self._unjudged.get(job.id) is job:
                del self._unjudged[job.id]

    async def _blame(self, job: Job, attempt: Attempt, failure: Failure) -> None:
        workers = self._registry.fleet()
        fleet = {worker.name for worker in workers if has_labels(worker, gang_of(job).shape.where)}
        if breaks_workers(job.faulty_workers, fleet):
            for worker in workers:
                await self._change(worker.id, lambda worker: excused(worker, job.id))
            return
        error = failure.error or explain_end(failure.reason, failure)
        fault = WorkerFault(
            job=job.id, attempt=attempt.number, placed_at=attempt.placed_at, at=self._clock.now(), error=error
        )
        others = [worker for worker in workers if worker.id != failure.worker]
        await self._change(failure.worker, lambda worker: blamed(worker, fault, others))

    async def _change(self, worker_id: str, change: Callable[[Worker], Worker]) -> None:
        with suppress(NotFound, Conflict):  # it is lost, and its quarantine ends with it
            before = self._registry.worker(worker_id).quarantine
            worker = await self._registry.judge(worker_id, change)
            if worker.quarantine == before:
                return
            if worker.quarantine is None:
                _log.warning("Worker %s takes jobs again.", worker.name)
                self._rests_since.pop(worker_id, None)
            else:
                self._counters.quarantined_workers += before is None
                self._rests_since[worker_id] = self._clock.monotonic()
                pause = worker.quarantine.pause_seconds
                _log.warning(
                    "Worker %s is quarantined: %s The next try is in %.0f s.", worker.name,
                    worker.quarantine.reason, pause,
                )  # fmt: skip

    def with_tries(self, workers: Sequence[Worker]) -> tuple[list[Worker], set[str]]:
        """All workers, where those whose pause is over look not quarantined; and the ids of those."""
        due = {worker.id for worker in workers if self._due(worker)}
        return [one.model_copy(update={"quarantine": None}) if one.id in due else one for one in workers], due

    def _due(self, worker: Worker) -> bool:
        if worker.quarantine is None:
            return False
        now = self._clock.monotonic()
        first = float("-inf") if worker.registered_at >= self._began_at else now
        since = self._rests_since.setdefault(worker.id, first)
        return now - since >= worker.quarantine.pause_seconds

    def tried(self, workers: Iterable[str]) -> None:
        """Note that a job was placed on the workers with these ids: their next try comes after another pause."""
        for worker in workers:
            if worker in self._rests_since:
                self._rests_since[worker] = self._clock.monotonic()


def _proof(attempt: Attempt) -> Callable[[Worker], Worker]:
    return lambda worker: proven(worker, attempt.placed_at)
