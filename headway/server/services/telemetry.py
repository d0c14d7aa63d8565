"""What heartbeats say of machines and of training: load, steps, and how long jobs will probably still take."""

from __future__ import annotations

from headway.core.protocol import Heartbeat
from headway.core.waiting import remaining_seconds
from headway.core.worker import WorkerLoad
from headway.server.clock import Clock
from headway.server.services.jobs import Jobs


class Telemetry:
    """The newest figures of each worker, in memory. Nothing is decided by them; they are for people to read."""

    def __init__(self, clock: Clock, jobs: Jobs) -> None:
        self._clock = clock
        self._jobs = jobs
        self._loads: dict[str, WorkerLoad] = {}
        self._steps: dict[str, dict[str, int]] = {}

    def heard(self, worker_id: str, heartbeat: Heartbeat) -> None:
        """Keep what a heartbeat says."""
        if heartbeat.load is not None:
            self._loads[worker_id] = heartbeat.load
        self._steps[worker_id] = heartbeat.steps

    def forget(self, worker_id: str) -> None:
        """The worker is lost."""
        self._loads.pop(worker_id, None)
        self._steps.pop(worker_id, None)

    def load(self, worker_id: str) -> WorkerLoad | None:
        """What is used of the worker's machine, as its last heartbeat said."""
        return self._loads.get(worker_id)

    def remaining_seconds(self) -> dict[str, float]:
        """How long the jobs that say how far they are will probably still train, by id."""
        found: dict[str, float] = {}
        for job in self._jobs.unsettled.active():
            workers = [one.worker for one in job.attempt.assignments] if job.attempt else []
            steps = [self._steps[worker][job.id] for worker in workers if job.id in self._steps.get(worker, {})]
            seconds = remaining_seconds(job, max(steps, default=None), self._clock.now())
            if seconds is not None:
                found[job.id] = seconds
        return found
