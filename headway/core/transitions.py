"""The state machine: how users, the scheduler and lost workers change a job, as pure functions from job to job.

Reports of workers are in `fact_transitions`, the end of an attempt in `attempt_end`. A function that has nothing to
change returns the same job. The events and wake-ups of a change are appended to the job itself, so that they are
stored together with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headway.core.attempt import Assignment, Attempt
from headway.core.attempt_end import end_when_released, failure_of, finish, stop
from headway.core.end_reason import EndReason
from headway.core.job import Job, WakeUp
from headway.core.job_change import emit, open_assignment, update_assignment, update_attempt, wake, warn
from headway.core.left_files_transitions import files_unknown
from headway.core.placement import Share
from headway.core.status import AssignmentState, JobStatus
from headway.errors import ClaimRefused, Conflict


def place(job: Job, shares: Sequence[Share], now: float) -> Job:
    """Start a new attempt on the given workers. Only a queued job can be placed; others are returned unchanged."""
    if job.status is not JobStatus.QUEUED or job.hold:
        return job
    assignments = tuple(
        Assignment(
            worker=share.worker,
            worker_name=share.worker_name,
            first_rank=share.first_rank,
            rank_count=share.rank_count,
        )
        for share in shares
    )
    attempt = Attempt(
        number=job.attempt_number + 1,
        placed_at=now,
        assignments=assignments,
        offered_step=job.checkpoints[-1].step if job.checkpoints else None,
    )
    job = job.model_copy(update={"status": JobStatus.STARTING, "attempt": attempt, "sentence": "", "reason": None})
    job = wake(job, lambda assignment: True)
    return emit(
        job,
        "attempt.placed",
        now,
        attempt=attempt.number,
        workers={assignment.worker_name: assignment.rank_count for assignment in assignments},
    )


def claim(job: Job, number: int, worker: str, endpoint: str | None) -> Job:
    """A worker claims its assignment. Repeating a claim changes nothing.

    Raises ClaimRefused when the attempt is not the current one, has ended, or is being stopped.
    """
    assignment = _claimable(job, number, worker)
    if assignment.state is not AssignmentState.OFFERED:
        return job
    job = update_assignment(job, worker, state=AssignmentState.CLAIMED, endpoint=endpoint)
    if job.attempt is not None and job.attempt.all_claimed:
        job = wake(job, lambda other: other.worker != worker)
    return job


def _claimable(job: Job, number: int, worker: str) -> Assignment:
    attempt = job.open_attempt(number)
    assignment = attempt.assignment_of(worker) if attempt is not None else None
    if assignment is None:
        raise ClaimRefused(f"Attempt {number} of job {job.name} is not for this worker, or has ended.")
    if assignment.state in (AssignmentState.STOPPING, AssignmentState.RELEASED):
        raise ClaimRefused(f"Attempt {number} of job {job.name} is {assignment.state}. Its ranks must not start.")
    return assignment


def refuse(job: Job, number: int, worker: str, now: float) -> Job:
    """A worker has no room for its assignment: release the gang at once, without a counted failure."""
    assignment = open_assignment(job, number, worker)
    if assignment is None or assignment.started_ranks:
        return job
    job = update_assignment(job, worker, state=AssignmentState.RELEASED)
    return stop(job, failure_of(assignment, EndReason.ASSIGNMENT_REFUSED, now), now)


def expire(job: Job, number: int, worker: str, now: float) -> Job:
    """The deadline of an offered or claimed assignment passed: release the gang."""
    assignment = open_assignment(job, number, worker)
    if assignment is None or assignment.state not in (AssignmentState.OFFERED, AssignmentState.CLAIMED):
        return job
    ignored = assignment.state is AssignmentState.OFFERED
    reason = EndReason.ASSIGNMENT_IGNORED if ignored else EndReason.PREPARE_TIMED_OUT
    return stop(job, failure_of(assignment, reason, now), now)


def lose_worker(job: Job, worker: str, now: float) -> Job:
    """A worker was lost. If all ranks had finished, warn; else end the attempt."""
    attempt = job.attempt
    assignment = open_assignment(job, attempt.number, worker) if attempt else None
    if attempt is None or assignment is None:
        return job
    lost = assignment.state is not AssignmentState.OFFERED
    job = files_unknown(update_assignment(job, worker, state=AssignmentState.RELEASED, lost=lost), assignment)
    if attempt.finished:
        job = warn(job, f"Worker {assignment.worker_name} was lost after all ranks had finished.", now)
        return end_when_released(job, now)
    return stop(job, failure_of(assignment, EndReason.WORKER_LOST, now), now)


def drain_worker(job: Job, worker: str, now: float) -> Job:
    """A worker is drained: the ranks save and end, the job continues elsewhere, and no failure is counted."""
    attempt = job.attempt
    assignment = open_assignment(job, attempt.number, worker) if attempt else None
    if attempt is None or assignment is None or attempt.finished or job.status is JobStatus.STOPPING:
        return job
    return stop(job, failure_of(assignment, EndReason.DRAINED, now), now)


def cancel(job: Job, now: float, *, kill: bool = False) -> Job:
    """The user cancels the job; `kill`: without a grace time. Repeating it changes nothing.

    Raises Conflict when the job has already ended.
    """
    if job.status.terminal:
        raise Conflict(f"Job {job.name} is already {job.status}, so it cannot be cancelled.")
    if kill and job.attempt is not None and job.attempt.ended_at is None and not job.attempt.kill:
        job = wake(update_attempt(job, kill=True), lambda assignment: assignment.state is AssignmentState.STOPPING)
    if job.cancel_requested:
        return job
    job = emit(job.model_copy(update={"cancel_requested": True}), "job.cancel_requested", now)
    if job.status is JobStatus.QUEUED:
        return finish(job, EndReason.CANCELLED, EndReason.CANCELLED.explain(), now)
    if job.attempt is None or job.attempt.finished:
        return job
    return stop(job, None, now, reason=EndReason.CANCELLED)


def _about_to_end(job: Job) -> bool:
    """Whether all ranks of the current attempt have finished. They may still run exit handlers."""
    return job.attempt is not None and job.attempt.ended_at is None and job.attempt.all_finished


def pause(job: Job, now: float) -> Job:
    """The user pauses the job: its ranks save and end, and it stays queued until it is resumed.

    Repeating it changes nothing. Raises Conflict when the job has ended, or all its ranks have finished.
    """
    if job.status.terminal or job.cancel_requested or _about_to_end(job):
        how = f"already {job.status}" if job.status.terminal else "about to end"
        raise Conflict(f"Job {job.name} is {how}, so it cannot be paused.")
    if job.hold:
        return job
    job = emit(job.model_copy(update={"hold": True, "held_at": now}), "job.paused", now)
    return job if job.status is JobStatus.QUEUED else stop(job, None, now, reason=EndReason.PAUSED)


def resume(job: Job, now: float) -> Job:
    """The user resumes a paused job. Raises Conflict when it is not paused."""
    if not job.hold or job.status.terminal:
        raise Conflict(f"Job {job.name} is {job.status} and not paused, so it cannot be resumed.")
    held_seconds = job.held_seconds + max(0.0, now - (job.held_at or now))
    job = job.model_copy(update={"hold": False, "held_at": None, "held_seconds": held_seconds})
    return emit(job, "job.resumed", now)


def time_out(job: Job, now: float) -> Job:
    """The job's time limit passed: end its ranks. No other attempt follows."""
    attempt = job.attempt
    if job.status.terminal or attempt is None or attempt.finished:
        return job
    if job.status is JobStatus.QUEUED:
        return finish(job, EndReason.TIMED_OUT, EndReason.TIMED_OUT.explain(), now)
    if attempt.reason is EndReason.TIMED_OUT:
        return job
    return stop(update_attempt(job, reason=EndReason.TIMED_OUT), None, now, reason=EndReason.TIMED_OUT)


def forget_artifacts(job: Job, now: float) -> Job:
    """Retention deleted the files of an ended job."""
    job = emit(job, "job.artifacts_deleted", now, count=len(job.artifacts))
    return job.model_copy(update={"artifacts": (), "checkpoints": (), "artifacts_deleted": True})


def describe(job: Job, labels: dict[str, str] | None, notes: str | None, now: float) -> Job:
    """Change the job's labels and notes; None leaves them."""
    changes: dict[str, Any] = {}
    if labels is not None and labels != job.labels:
        changes["labels"] = labels
    if notes is not None and notes != job.notes:
        changes["notes"] = notes
    if not changes:
        return job
    return emit(job.model_copy(update=changes), "job.described", now, changed=list(changes))


def streams_settled(job: Job, number: int, missing_reports: int, now: float) -> Job:
    """The streams of an ended attempt are complete, or the server stops waiting for them. Later reports are refused."""
    if number not in job.settling:
        return job
    job = job.model_copy(update={"settling": tuple(other for other in job.settling if other != number)})
    job = emit(job, "attempt.settled", now, attempt=number, missing_reports=missing_reports)
    waits = job.attempt is not None and job.attempt.number == number and job.attempt.reason is EndReason.COMPLETED
    if waits and not job.status.terminal:
        return finish(job, EndReason.COMPLETED, EndReason.COMPLETED.explain(), now)
    return job


def delivered(job: Job, event_number: int, wakeups: Sequence[WakeUp]) -> Job:
    """Forget the events up to a number and the wake-ups that the relay has delivered."""
    return job.model_copy(
        update={
            "events": tuple(event for event in job.events if event.number > event_number),
            "wakeups": tuple(wakeup for wakeup in job.wakeups if wakeup not in wakeups),
        }
    )
