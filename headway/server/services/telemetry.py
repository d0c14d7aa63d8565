"""What heartbeats say about machines and training: load, steps, and the expected remaining time of jobs."""

from __future__ import annotations

from collections.abc import Callable

from headway.core.job import Job
from headway.core.protocol import Heartbeat
from headway.core.training_progress import TrainingProgress, training_progress
from headway.core.worker import WorkerLoad
from headway.server.clock import Clock
from headway.server.services.jobs import Jobs


class Telemetry:
    """The newest figures of each worker, in memory. They are for people; the server decides nothing by them."""

    def __init__(self, clock: Clock, jobs: Jobs) -> None:
        self._clock = clock
        self._jobs = jobs
        self.on_progress: Callable[[str], None] = lambda job_id: None
        self._loads: dict[str, WorkerLoad] = {}
        self._steps: dict[str, dict[str, int]] = {}

    def heard(self, worker_id: str, heartbeat: Heartbeat) -> None:
        """Keep the figures of a heartbeat."""
        if heartbeat.load is not None:
            self._loads[worker_id] = heartbeat.load
        before = self._steps.get(worker_id, {})
        self._steps[worker_id] = heartbeat.steps
        for job_id, step in heartbeat.steps.items():
            if before.get(job_id) != step:
                self.on_progress(job_id)

    def forget(self, worker_id: str) -> None:
        """The worker is lost."""
        self._loads.pop(worker_id, None)
        self._steps.pop(worker_id, None)

    def load(self, worker_id: str) -> WorkerLoad | None:
        """The load of the worker's machine, from its last heartbeat."""
        return self._loads.get(worker_id)

    def progress(self, job: Job) -> TrainingProgress | None:
        """The job's progress, from the last heartbeats; None if it is not training, or logs no steps."""
        attempt = job.attempt
        if attempt is None or attempt.ended_at is not None:
            return None
        reports = [self._steps.get(one.worker, {}) for one in attempt.assignments]
        steps = [report[job.id] for report in reports if job.id in report]
        return training_progress(job, max(steps, default=None), self._clock.now())

    def remaining_seconds(self) -> dict[str, float]:
        """The expected remaining training time of jobs that declare their number of steps, by job id."""
        found: dict[str, float] = {}
        for job in self._jobs.unsettled.active():
            progress = self.progress(job)
            if progress is not None and progress.remaining_seconds is not None:
                found[job.id] = progress.remaining_seconds
        return found
