"""The unsettled jobs in memory, and the questions that the server asks about them."""

from __future__ import annotations

from typing import NamedTuple

from headway.core.attempt import Assignment, Attempt
from headway.core.job import Job
from headway.core.placement import used_slots
from headway.core.status import AssignmentState


class Held(NamedTuple):
    """Slots in use: the assignment, of the newest attempt of the job, that holds them."""

    job: Job
    attempt: Attempt
    assignment: Assignment


class UnsettledJobs:
    """Jobs that are active, whose streams settle, or that have something undelivered, as they were stored last.

    `Jobs` keeps them. All others ask; each answer is a list of its own, so that jobs may change while it is read.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    def keep(self, job: Job) -> None:
        """The job was stored: keep it while it is unsettled."""
        if job.unsettled:
            self._jobs[job.id] = job
        else:
            self.forget(job.id)

    def forget(self, job_id: str) -> None:
        """The job is settled or deleted, or another server has changed it."""
        self._jobs.pop(job_id, None)

    def find(self, job_id: str) -> Job | None:
        """The job with that id, if it is unsettled."""
        return self._jobs.get(job_id)

    def active(self) -> list[Job]:
        """Those with an attempt that has not ended. They hold all slots that are in use."""
        return [job for job in self._jobs.values() if job.active]

    def settling(self) -> list[Job]:
        """Those that have ended attempts whose streams settle."""
        return [job for job in self._jobs.values() if job.settling]

    def started_from(self, job_id: str) -> list[Job]:
        """Those that may yet load a checkpoint of another job."""
        return [job for job in self._jobs.values() if any(one.job == job_id for one in job.checkpoints)]

    def held_by(self, worker: str) -> list[Held]:
        """Those that hold slots of a worker, and by which assignment."""
        found = []
        for job in self._jobs.values():
            attempt = job.attempt
            assignment = attempt.assignment_of(worker) if attempt else None
            if attempt and assignment and assignment.state is not AssignmentState.RELEASED:
                found.append(Held(job, attempt, assignment))
        return found

    def used_slots(self) -> dict[str, int]:
        """The slots in use, by worker."""
        return used_slots(self._jobs.values())
