"""The status of a job and the state of an assignment, with the allowed transitions."""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    """A job's status. The last three are terminal and are written once."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether the job has ended."""
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


def shown_status(status: str, *, hold: bool) -> str:
    """The status as people call it: a job that is queued on hold is paused."""
    return "paused" if hold and status == JobStatus.QUEUED else status


class AssignmentState(StrEnum):
    """The state of "worker W runs ranks a..b of attempt N". Its slots count as used until `released`."""

    OFFERED = "offered"
    CLAIMED = "claimed"
    RUNNING = "running"
    STOPPING = "stopping"
    RELEASED = "released"


JOB_TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.STARTING, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.STARTING: frozenset(
        {JobStatus.RUNNING, JobStatus.STOPPING, JobStatus.QUEUED, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.RUNNING: frozenset(
        {JobStatus.STOPPING, JobStatus.QUEUED, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}
    ),
    JobStatus.STOPPING: frozenset({JobStatus.QUEUED, JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}

ASSIGNMENT_TRANSITIONS: dict[AssignmentState, frozenset[AssignmentState]] = {
    AssignmentState.OFFERED: frozenset({AssignmentState.CLAIMED, AssignmentState.RELEASED}),
    AssignmentState.CLAIMED: frozenset({AssignmentState.RUNNING, AssignmentState.STOPPING, AssignmentState.RELEASED}),
    AssignmentState.RUNNING: frozenset({AssignmentState.STOPPING, AssignmentState.RELEASED}),
    AssignmentState.STOPPING: frozenset({AssignmentState.RELEASED}),
    AssignmentState.RELEASED: frozenset(),
}
