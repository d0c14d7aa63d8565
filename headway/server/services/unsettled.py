"""The unsettled jobs in memory, and queries over them."""

from __future__ import annotations

from typing import NamedTuple

from headway.core.attempt import Assignment, Attempt
from headway.core.job import Job
from headway.core.placement import used_slots
from headway.core.status import AssignmentState


class Held(NamedTuple):
    """Slots in use: a job, and the assignment of its newest attempt that holds them."""

    job: Job
    attempt: Attempt
    assignment: Assignment


class UnsettledJobs:
    """The stored state of jobs that are active, whose streams settle, or that have undelivered events or wake-ups.

    Only `Jobs` changes it. Each answer is a new list, so that jobs may change while a caller reads it.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._of_worker: dict[str, dict[str, None]] = {}

    def keep(self, job: Job) -> None:
        """Keep a job that was just stored, if it is unsettled."""
        if not job.unsettled:
            self.forget(job.id)
            return
        known = self._jobs.get(job.id)
        if known is None or known.attempt_number != job.attempt_number:  # the workers of an attempt never change
            self.forget(job.id)
            for worker in _workers(job):
                self._of_worker.setdefault(worker, {})[job.id] = None
        self._jobs[job.id] = job

    def forget(self, job_id: str) -> None:
        """Drop a job that is settled or deleted, or that another server has changed."""
        job = self._jobs.pop(job_id, None)
        for worker in _workers(job) if job is not None else ():
            of_worker = self._of_worker[worker]
            of_worker.pop(job_id)
            if not of_worker:
                del self._of_worker[worker]

    def find(self, job_id: str) -> Job | None:
        """The job with that id, if it is unsettled."""
        return self._jobs.get(job_id)

    def active(self) -> list[Job]:
        """Those with an attempt that has not ended. They hold all slots that are in use."""
        return [job for job in self._jobs.values() if job.active]

    def allocated(self) -> list[Job]:
        """Those that have an allocation, or are giving one back."""
        return [job for job in self._jobs.values() if job.allocation is not None or job.releasing]

    def settling(self) -> list[Job]:
        """Those that have ended attempts whose streams settle."""
        return [job for job in self._jobs.values() if job.settling]

    def started_from(self, job_id: str) -> list[Job]:
        """Those that may still load a checkpoint of this job."""
        return [job for job in self._jobs.values() if any(one.job == job_id for one in job.checkpoints)]

    def held_by(self, worker: str) -> list[Held]:
        """Those that hold slots of a worker, each with the assignment."""
        found = []
        for job_id in self._of_worker.get(worker, ()):
            job = self._jobs[job_id]
            assignment = job.attempt.assignment_of(worker) if job.attempt else None
            if job.attempt and assignment and assignment.state is not AssignmentState.RELEASED:
                found.append(Held(job, job.attempt, assignment))
        return found

    def claimed_by(self, worker: str) -> list[Job]:
        """Those that a worker has claimed and not released. It may read the data that they need."""
        return [one.job for one in self.held_by(worker) if one.assignment.state is not AssignmentState.OFFERED]

    def used_slots(self) -> dict[str, int]:
        """The slots in use, by worker."""
        return used_slots(self._jobs.values())


def _workers(job: Job) -> list[str]:
    return [one.worker for one in job.attempt.assignments] if job.attempt else []
