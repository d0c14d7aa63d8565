"""The state machine: every change that a job can go through, as a pure function from job to job.

A function that has nothing to change returns the job it was given. Events and wake-ups that follow from a change are
appended to the job itself, so that they are stored with it or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from headway.core.attempt import Assignment, Attempt, Failure
from headway.core.checkpoint_transitions import damaged, not_saved, part_stored, restored, warn_unless_restored
from headway.core.end_reason import EndReason, classify_rank_end
from headway.core.facts import (
    ArtifactStored,
    CheckpointDamaged,
    CheckpointNotSaved,
    CheckpointPartStored,
    CheckpointRestored,
    Fact,
    OutputsStored,
    PrepareFailed,
    RankEnded,
    RankFinished,
    RankStarted,
    Released,
    ResultStored,
    StageReached,
    Stalled,
    WorkerStopping,
)
from headway.core.job import Job, WakeUp
from headway.core.job_change import emit, update_attempt, warn
from headway.core.placement import Share
from headway.core.retry import SAME_STEP_FAILURES, explain_decision, may_retry, recent, steps_in_row
from headway.core.status import AssignmentState, JobStatus
from headway.errors import ClaimRefused, Conflict


class ReportedFacts(NamedTuple):
    """The facts of one report, in the order they happened; `last`: no report of this worker follows."""

    worker: str
    number: int
    facts: tuple[Fact, ...]
    last: bool = False


def place(job: Job, shares: Sequence[Share], now: float) -> Job:
    """Start a new attempt on the given workers. Only a queued job can be placed; others come back unchanged."""
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
    job = _wake(job, lambda assignment: True)
    return emit(
        job,
        "attempt.placed",
        now,
        attempt=attempt.number,
        workers={assignment.worker_name: assignment.rank_count for assignment in assignments},
    )


def claim(job: Job, number: int, worker: str, endpoint: str | None) -> Job:
    """A worker takes its assignment. Repeating a claim changes nothing.

    Raises ClaimRefused when the attempt is not the current one, has ended, or its ranks are to be stopped.
    """
    assignment = _claimable(job, number, worker)
    if assignment.state is not AssignmentState.OFFERED:
        return job
    job = _update(job, worker, state=AssignmentState.CLAIMED, endpoint=endpoint)
    if job.attempt is not None and job.attempt.all_claimed:
        job = _wake(job, lambda other: other.worker != worker)
    return job


def _claimable(job: Job, number: int, worker: str) -> Assignment:
    attempt = job.attempt
    assignment = attempt.assignment_of(worker) if attempt and attempt.number == number else None
    if attempt is None or assignment is None or attempt.ended_at is not None:
        raise ClaimRefused(f"Attempt {number} of job {job.name} is not for this worker, or has ended.")
    if assignment.state in (AssignmentState.STOPPING, AssignmentState.RELEASED):
        raise ClaimRefused(f"Attempt {number} of job {job.name} is {assignment.state}; its ranks must not start.")
    return assignment


def refuse(job: Job, number: int, worker: str, now: float) -> Job:
    """A worker has no room for its assignment: the gang is released at once, and no failure is counted."""
    assignment = _open_assignment(job, number, worker)
    if assignment is None or assignment.started_ranks:
        return job
    job = _update(job, worker, state=AssignmentState.RELEASED)
    return _stop(job, _failure(assignment, EndReason.ASSIGNMENT_REFUSED, now), now)


def expire(job: Job, number: int, worker: str, now: float) -> Job:
    """The deadline of an offered or claimed assignment passed: the gang is released."""
    assignment = _open_assignment(job, number, worker)
    if assignment is None or assignment.state not in (AssignmentState.OFFERED, AssignmentState.CLAIMED):
        return job
    ignored = assignment.state is AssignmentState.OFFERED
    reason = EndReason.ASSIGNMENT_IGNORED if ignored else EndReason.PREPARE_TIMED_OUT
    return _stop(job, _failure(assignment, reason, now), now)


def lose_worker(job: Job, worker: str, now: float) -> Job:
    """A worker is gone. If all ranks finished before that it costs a warning, else it ends the attempt."""
    attempt = job.attempt
    assignment = _open_assignment(job, attempt.number, worker) if attempt else None
    if attempt is None or assignment is None:
        return job
    lost = assignment.state is not AssignmentState.OFFERED
    job = _update(job, worker, state=AssignmentState.RELEASED, lost=lost)
    if attempt.finished:
        job = warn(job, f"Worker {assignment.worker_name} was lost after all ranks had finished.", now)
        return _settle(job, now)
    return _stop(job, _failure(assignment, EndReason.WORKER_LOST, now), now)


def drain_worker(job: Job, worker: str, now: float) -> Job:
    """A worker is to run nothing more: the ranks save and end, the job goes on elsewhere, and no failure is counted."""
    attempt = job.attempt
    assignment = _open_assignment(job, attempt.number, worker) if attempt else None
    if attempt is None or assignment is None or attempt.finished or job.status is JobStatus.STOPPING:
        return job
    return _stop(job, _failure(assignment, EndReason.DRAINED, now), now)


def cancel(job: Job, now: float, *, kill: bool = False) -> Job:
    """The user wants the job to end, with `kill` without a grace time. Repeating it changes nothing.

    Raises Conflict when the job has ended already.
    """
    if job.status.terminal:
        raise Conflict(f"Job {job.name} is already {job.status}, so it cannot be cancelled.")
    if kill and job.attempt is not None and job.attempt.ended_at is None and not job.attempt.kill:
        job = _wake(update_attempt(job, kill=True), lambda assignment: assignment.state is AssignmentState.STOPPING)
    if job.cancel_requested:
        return job
    job = emit(job.model_copy(update={"cancel_requested": True}), "job.cancel_requested", now)
    if job.status is JobStatus.QUEUED:
        return _finish(job, EndReason.CANCELLED, EndReason.CANCELLED.sentence, now)
    if job.attempt is None or job.attempt.finished:
        return job
    return _stop(job, None, now, reason=EndReason.CANCELLED)


def pause(job: Job, now: float) -> Job:
    """The user wants the job to stand still: its ranks save and end, and it stays queued until it is resumed.

    Repeating it changes nothing. Raises Conflict when the job has ended, or its ranks have all finished.
    """
    if job.status.terminal or job.cancel_requested or (job.attempt is not None and job.attempt.finished):
        how = f"already {job.status}" if job.status.terminal else "about to end"
        raise Conflict(f"Job {job.name} is {how}, so it cannot be paused.")
    if job.hold:
        return job
    job = emit(job.model_copy(update={"hold": True, "held_at": now}), "job.paused", now)
    return job if job.status is JobStatus.QUEUED else _stop(job, None, now, reason=EndReason.PAUSED)


def resume(job: Job, now: float) -> Job:
    """A paused job may be placed again. Raises Conflict when it is not paused."""
    if not job.hold or job.status.terminal:
        raise Conflict(f"Job {job.name} is {job.status} and not paused, so it cannot be resumed.")
    held_seconds = job.held_seconds + max(0.0, now - (job.held_at or now))
    job = job.model_copy(update={"hold": False, "held_at": None, "held_seconds": held_seconds})
    return emit(job, "job.resumed", now)


def time_out(job: Job, now: float) -> Job:
    """The job's time limit passed: its ranks are ended, and no other attempt follows."""
    attempt = job.attempt
    if job.status.terminal or attempt is None or attempt.finished:
        return job
    if job.status is JobStatus.QUEUED:
        return _finish(job, EndReason.TIMED_OUT, EndReason.TIMED_OUT.sentence, now)
    if attempt.reason is EndReason.TIMED_OUT:
        return job
    return _stop(update_attempt(job, reason=EndReason.TIMED_OUT), None, now, reason=EndReason.TIMED_OUT)


def forget_artifacts(job: Job, now: float) -> Job:
    """The files of an ended job were deleted by retention."""
    job = emit(job, "job.artifacts_deleted", now, count=len(job.artifacts))
    return job.model_copy(update={"artifacts": (), "checkpoints": (), "artifacts_deleted": True})


def describe(job: Job, labels: dict[str, str] | None, notes: str | None) -> Job:
    """Change what people noted about the job; None leaves it."""
    changes: dict[str, Any] = {"labels": labels} if labels is not None else {}
    if notes is not None:
        changes["notes"] = notes
    return job.model_copy(update=changes) if changes else job


def apply_facts(job: Job, number: int, reports: Iterable[ReportedFacts], now: float) -> Job:
    """Apply the facts of reports, each worker's in the order of their numbers; what was applied before is skipped.

    Facts count only from the current attempt and until it has ended: the attempt's number is the fence.
    """
    for report in reports:
        attempt = job.attempt
        if attempt is None or attempt.number != number or attempt.ended_at is not None:
            return job
        assignment = attempt.assignment_of(report.worker)
        if assignment is None or assignment.lost or report.number <= assignment.applied:
            continue
        job = _update(job, report.worker, applied=report.number, last_number=report.number if report.last else None)
        for fact in report.facts:
            job = _apply(job, report.worker, fact, now)
    return job


def _apply(job: Job, worker: str, fact: Fact, now: float) -> Job:
    attempt = job.attempt
    assignment = attempt.assignment_of(worker) if attempt else None
    if attempt is None or assignment is None:
        return job
    match fact:
        case RankStarted():
            return _rank_started(job, assignment, now)
        case StageReached():
            stages = attempt.stages if fact.stage in attempt.stages else {**attempt.stages, fact.stage: fact.at}
            total_steps = attempt.total_steps if fact.total_steps is None else fact.total_steps
            job = update_attempt(job, stages=stages, total_steps=total_steps)
            return warn_unless_restored(job, now) if fact.stage == "first_step" else job
        case ArtifactStored():
            others = tuple(artifact for artifact in job.artifacts if artifact.name != fact.artifact.name)
            return job.model_copy(update={"artifacts": (*others, fact.artifact)})
        case ResultStored():
            return job.model_copy(update={"result": fact.result})
        case CheckpointPartStored():
            return part_stored(job, attempt, fact, now)
        case CheckpointNotSaved():
            return not_saved(job, fact, now)
        case CheckpointRestored():
            return restored(job, attempt, fact, now)
        case CheckpointDamaged():
            return damaged(job, fact, now)
        case RankFinished():
            return _update(job, worker, finished_ranks=assignment.finished_ranks + 1)
        case RankEnded():
            return _rank_ended(job, assignment, fact, now)
        case Stalled():
            return _stalled(job, assignment, fact, now)
        case PrepareFailed():
            reason = EndReason.ENVIRONMENT_FAILED if fact.environment else EndReason.PREPARE_FAILED
            return _stop(job, _failure(assignment, reason, now, error=fact.error), now)
        case OutputsStored():
            job = _update(job, worker, outputs_stored=True)
            return job if fact.warning is None else warn(job, fact.warning, now)
        case WorkerStopping():
            if attempt.finished:
                return job
            return _stop(job, _failure(assignment, EndReason.WORKER_STOPPED, now), now)
        case Released():
            return _released(job, assignment, now)


def _rank_started(job: Job, assignment: Assignment, now: float) -> Job:
    changes: dict[str, Any] = {"started_ranks": assignment.started_ranks + 1}
    if assignment.state is AssignmentState.CLAIMED:
        changes["state"] = AssignmentState.RUNNING
    job = _update(job, assignment.worker, **changes)
    if job.status is JobStatus.STARTING and job.attempt is not None and job.attempt.started:
        job = update_attempt(job, started_at=now)
        job = job.model_copy(update={"status": JobStatus.RUNNING, "started_at": job.started_at or now})
        job = emit(job, "attempt.started", now, attempt=job.attempt_number)
    return job


def _rank_ended(job: Job, assignment: Assignment, fact: RankEnded, now: float) -> Job:
    job = _update(job, assignment.worker, ended_ranks=assignment.ended_ranks + 1)
    clean = fact.exit_code == 0
    if fact.finished:
        if not clean and not fact.stopped:
            how = fact.signal or f"exit code {fact.exit_code}"
            job = warn(job, f"Rank {fact.rank} ended with {how} after its script had finished.", now)
        return job
    if fact.stopped:
        return job
    reason = classify_rank_end(
        signal=fact.signal, raised=fact.error is not None, secondary=fact.secondary, out_of_memory=fact.out_of_memory
    )
    failure = Failure(
        reason=reason,
        worker=assignment.worker,
        worker_name=assignment.worker_name,
        at=fact.at,
        rank=fact.rank,
        exit_code=fact.exit_code,
        signal=fact.signal,
        error=fact.error,
        hint=fact.hint,
        memory_curve=fact.memory_curve,
        worker_load=fact.worker_load,
        traceback=fact.traceback,
        log_tail=fact.log_tail,
        step=fact.step,
    )
    return _stop(job, failure, now)


def _stalled(job: Job, assignment: Assignment, fact: Stalled, now: float) -> Job:
    if job.attempt is None or job.attempt.finished:
        return job
    waits = f"{fact.silent_seconds:.0f} s"
    if fact.absent_ranks:
        ranks = ", ".join(map(str, fact.absent_ranks[:10]))
        one = len(fact.absent_ranks) == 1
        waits += f", while the others wait for {'rank' if one else 'ranks'} {ranks}"
    failure = _failure(assignment, EndReason.STALLED, now, error=waits)
    return _stop(job, failure.model_copy(update={"step": fact.step}), now)


def _released(job: Job, assignment: Assignment, now: float) -> Job:
    if assignment.state is AssignmentState.RELEASED:
        return job
    job = _update(job, assignment.worker, state=AssignmentState.RELEASED)
    stopping = job.attempt is not None and job.attempt.reason is not None
    if assignment.finished_ranks < assignment.rank_count and not stopping:
        # Its own ranks are gone unfinished, so nothing of the gang can go on.
        return _stop(job, _failure(assignment, EndReason.RANKS_VANISHED, now), now)
    return _settle(job, now)


def drained(job: Job, number: int, missing_reports: int, now: float) -> Job:
    """The streams of an ended attempt are complete, or are waited for no longer: later arrivals are refused."""
    if number not in job.draining:
        return job
    job = job.model_copy(update={"draining": tuple(other for other in job.draining if other != number)})
    job = emit(job, "attempt.drained", now, attempt=number, missing_reports=missing_reports)
    waits = job.attempt is not None and job.attempt.number == number and job.attempt.reason is EndReason.COMPLETED
    if waits and not job.status.terminal:
        return _finish(job, EndReason.COMPLETED, EndReason.COMPLETED.sentence, now)
    return job


def delivered(job: Job, event_number: int, wakeups: Sequence[WakeUp]) -> Job:
    """Forget events up to a number, and wake-ups, which the relay has delivered."""
    return job.model_copy(
        update={
            "events": tuple(event for event in job.events if event.number > event_number),
            "wakeups": tuple(wakeup for wakeup in job.wakeups if wakeup not in wakeups),
        }
    )


def _stop(job: Job, failure: Failure | None, now: float, reason: EndReason | None = None) -> Job:
    """End the attempt: what was not claimed is released, the other ranks are to be stopped.

    The first failure stays, but a mere consequence of another rank's end (PEER_LOST) gives way to its cause.
    """
    attempt = job.attempt
    if attempt is None or attempt.ended_at is not None:
        return job
    reason = failure.reason if failure else reason
    if attempt.reason is None or (attempt.reason is EndReason.PEER_LOST and reason is not EndReason.PEER_LOST):
        job = update_attempt(job, reason=reason, failure=failure)
    stopped: list[Assignment] = []
    for assignment in attempt.assignments:
        match assignment.state:
            case AssignmentState.OFFERED:
                stopped.append(assignment.model_copy(update={"state": AssignmentState.RELEASED}))
            case AssignmentState.CLAIMED | AssignmentState.RUNNING:
                stopped.append(assignment.model_copy(update={"state": AssignmentState.STOPPING}))
            case _:
                stopped.append(assignment)
    job = update_attempt(job, assignments=tuple(stopped))
    if job.status is not JobStatus.STOPPING:
        job = job.model_copy(update={"status": JobStatus.STOPPING})
        job = _wake(job, lambda assignment: assignment.state is AssignmentState.STOPPING)
    return _settle(job, now)


def _settle(job: Job, now: float) -> Job:
    """End the attempt once no assignment of it holds slots."""
    attempt = job.attempt
    if attempt is None or attempt.ended_at is not None:
        return job
    if any(assignment.state is not AssignmentState.RELEASED for assignment in attempt.assignments):
        return job
    reason = EndReason.COMPLETED if attempt.finished else attempt.reason or EndReason.RANKS_VANISHED
    if job.cancel_requested and reason is not EndReason.COMPLETED:
        reason = EndReason.CANCELLED
    failure = None if reason in (EndReason.COMPLETED, EndReason.CANCELLED) else attempt.failure
    if attempt.finished:
        job = warn_unless_restored(job, now)
    job = update_attempt(job, ended_at=now, reason=reason, failure=failure)
    sentence = reason.explain(failure)
    job = emit(job, "attempt.ended", now, attempt=attempt.number, reason=reason.value, sentence=sentence)
    streams_missing = any(assignment.streams_missing for assignment in attempt.assignments)
    if streams_missing:
        job = job.model_copy(update={"draining": (*job.draining, attempt.number)})
    if reason is EndReason.COMPLETED and streams_missing:
        return job.model_copy(
            update={"status": JobStatus.STOPPING, "sentence": "All ranks finished; waiting for the last log lines."}
        )
    failed_at = recent(job.failed_at, now, job.spec.retry_window_seconds)
    again = may_retry(reason, len(failed_at), job.spec.retries)
    if failure is not None:
        decision = explain_decision(reason, len(failed_at), job.spec.retries, again=again)
        job = update_attempt(job, decision=decision)
    if not again:
        return _finish(job, reason, _final_sentence(job, reason, sentence), now)
    if reason.counted:
        failed_steps = steps_in_row(job.failed_steps, failure.step if failure else None)
        if failure is not None and len(failed_steps) >= SAME_STEP_FAILURES:
            words = EndReason.SAME_STEP.sentence.format(step=failure.step, sentence=sentence)
            job = update_attempt(job, decision="Three failures in a row were at one step, so it is not tried again.")
            return _finish(job, EndReason.SAME_STEP, words, now)
        job = job.model_copy(update={"failed_at": (*failed_at, now), "failed_steps": failed_steps})
    if job.origin is not None and not job.checkpoints:
        lost = EndReason.CHECKPOINT_LOST
        job = update_attempt(job, decision="No checkpoint is left to start from, so it is not tried again.")
        return _finish(job, lost, lost.sentence.format(error=sentence), now)
    retries_used = job.retries_used + int(reason.counted)
    failures_in_row = job.failures_in_row + int(reason.counted)
    changes = {"retries_used": retries_used, "failures_in_row": failures_in_row, "sentence": sentence}
    job = job.model_copy(update={"status": JobStatus.QUEUED, **changes})
    return emit(job, "job.requeued", now, after_attempt=attempt.number, retries_used=retries_used)


def _final_sentence(job: Job, reason: EndReason, sentence: str) -> str:
    if reason.retryable and job.attempt_number > 1:
        return f"{sentence} Gave up after {job.attempt_number} attempts."
    return sentence


def _finish(job: Job, reason: EndReason, sentence: str, now: float) -> Job:
    job = job.model_copy(
        update={"status": reason.status, "reason": reason, "sentence": sentence, "ended_at": now, "hold": False}
    )
    return emit(job, f"job.{reason.status.value}", now, reason=reason.value, sentence=sentence)


def _failure(assignment: Assignment, reason: EndReason, now: float, error: str | None = None) -> Failure:
    return Failure(reason=reason, worker=assignment.worker, worker_name=assignment.worker_name, at=now, error=error)


def _open_assignment(job: Job, number: int, worker: str) -> Assignment | None:
    attempt = job.attempt
    if attempt is None or attempt.number != number or attempt.ended_at is not None:
        return None
    assignment = attempt.assignment_of(worker)
    return None if assignment is None or assignment.state is AssignmentState.RELEASED else assignment


def _wake(job: Job, chosen: Callable[[Assignment], bool]) -> Job:
    attempt = job.attempt
    if attempt is None:
        return job
    wakeups = tuple(
        WakeUp(worker=assignment.worker, job=job.id, attempt=attempt.number)
        for assignment in attempt.assignments
        if chosen(assignment)
    )
    return job.model_copy(update={"wakeups": (*job.wakeups, *wakeups)})


def _update(job: Job, worker: str, **changes: Any) -> Job:
    attempt = job.attempt
    if attempt is None:
        return job
    assignments = tuple(
        assignment.model_copy(update=changes) if assignment.worker == worker else assignment
        for assignment in attempt.assignments
    )
    return update_attempt(job, assignments=assignments)
