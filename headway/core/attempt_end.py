"""How an attempt ends, and what follows: another attempt, or the job's end. Pure, as all transitions."""

from __future__ import annotations

from headway.core.attempt import Assignment, Attempt
from headway.core.checkpoint_transitions import warn_unless_restored
from headway.core.end_reason import EndReason
from headway.core.failure import Failure, explain_end
from headway.core.job import Job
from headway.core.job_change import emit, update_attempt, wake, warn
from headway.core.left_files_transitions import warn_of_unstored
from headway.core.resume_point import resume_sentence
from headway.core.retry import SAME_STEP_FAILURES, explain_decision, may_retry, recent, steps_in_row
from headway.core.status import AssignmentState, JobStatus
from headway.core.worker_faults import charged, is_fault


def stop(job: Job, failure: Failure | None, now: float, reason: EndReason | None = None) -> Job:
    """End the attempt: release unclaimed assignments and stop the other ranks.

    The first failure is kept. If it is only a consequence of another rank's end, the cause replaces it.
    """
    attempt = job.attempt
    if attempt is None or attempt.ended_at is not None:
        return job
    reason = failure.reason if failure else reason
    if attempt.reason is None or (attempt.reason.consequence and reason is not None and not reason.consequence):
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
        job = wake(job, lambda assignment: assignment.state is AssignmentState.STOPPING)
    return end_when_released(job, now)


def end_when_released(job: Job, now: float) -> Job:
    """End the attempt once none of its assignments holds slots."""
    attempt = job.attempt
    if attempt is None or attempt.ended_at is not None:
        return job
    if any(assignment.state is not AssignmentState.RELEASED for assignment in attempt.assignments):
        return job
    reason = _reason_of(job, attempt)
    failure = None if reason in (EndReason.COMPLETED, EndReason.CANCELLED) else attempt.failure
    if reason is EndReason.RANKS_VANISHED and failure is None:
        unfinished = next(one for one in attempt.assignments if not one.done(said=attempt.said_finished))
        failure = failure_of(unfinished, reason, now)
    if attempt.finished:
        job = _warn_unless_met(warn_unless_restored(job, now), attempt, now)
    job = update_attempt(job, ended_at=now, reason=reason, failure=failure)
    if attempt.started_at is not None:
        job = job.model_copy(update={"ran_seconds": job.ran_seconds + max(0.0, now - attempt.started_at)})
    sentence = explain_end(reason, failure)
    if reason.saves:
        sentence = f"{sentence} {resume_sentence(job)}"
    job = emit(job, "attempt.ended", now, attempt=attempt.number, reason=reason.value, sentence=sentence)
    streams_missing = any(assignment.streams_missing for assignment in attempt.assignments)
    if streams_missing:
        job = job.model_copy(update={"settling": (*job.settling, attempt.number)})
    if reason is EndReason.COMPLETED and streams_missing:
        return job.model_copy(
            update={"status": JobStatus.STOPPING, "sentence": "All ranks finished; waiting for the last log lines."}
        )
    return _follow(job, attempt, reason, failure, sentence, now)


def _reason_of(job: Job, attempt: Attempt) -> EndReason:
    if attempt.finished:
        return EndReason.COMPLETED
    return EndReason.CANCELLED if job.cancel_requested else attempt.reason or EndReason.RANKS_VANISHED


def _follow(job: Job, attempt: Attempt, reason: EndReason, failure: Failure | None, sentence: str, now: float) -> Job:
    """Queue the job for another attempt, or end it with this one; the attempt says which rule decided."""
    failed_at = recent(job.failed_at, now, job.spec.retry_window_seconds)
    job = _note_fault(job, attempt, reason, failure)
    counted = charged(attempt, reason, job.faulty_workers)
    again = may_retry(reason, len(failed_at), job.spec.retries, counted=counted)
    if failure is not None:
        decision = explain_decision(reason, len(failed_at), job.spec.retries, counted=counted, again=again)
        job = update_attempt(job, decision=decision)
    if not again:
        return finish(job, reason, _final_sentence(job, reason, sentence), now)
    if counted:
        failed_steps = steps_in_row(job.failed_steps, failure.step if failure else None)
        if failure is not None and len(failed_steps) >= SAME_STEP_FAILURES:
            words = explain_end(EndReason.SAME_STEP, failure, sentence=sentence)
            job = update_attempt(job, decision="Not retried, because three failures in a row were at one step.")
            return finish(job, EndReason.SAME_STEP, words, now)
        job = job.model_copy(update={"failed_at": (*failed_at, now), "failed_steps": failed_steps})
    if job.origin is not None and not job.checkpoints:
        lost = EndReason.CHECKPOINT_LOST
        job = update_attempt(job, decision="Not retried, because no checkpoint is left to start from.")
        return finish(job, lost, lost.explain(error=sentence), now)
    retries_used = job.retries_used + int(counted)
    failures_in_row = job.failures_in_row + int(counted)
    changes = {"retries_used": retries_used, "failures_in_row": failures_in_row, "sentence": sentence}
    job = job.model_copy(update={"status": JobStatus.QUEUED, **changes})
    return emit(job, "job.requeued", now, after_attempt=job.attempt_number, retries_used=retries_used)


def _warn_unless_met(job: Job, attempt: Attempt, now: float) -> Job:
    """Warn that the ranks never connected: each trains its own model, and nothing fails."""
    if attempt.world_size == 1 or not all(assignment.never_met for assignment in attempt.assignments):
        return job
    words = (
        f"None of the {attempt.world_size} ranks connected to another, so each trained its own model. To train one "
        "model, call torch.distributed.init_process_group() in the script, or use your framework's way to do so."
    )
    return warn(job, words, now)


def _note_fault(job: Job, attempt: Attempt, reason: EndReason, failure: Failure | None) -> Job:
    """Remember the worker at fault. Forget earlier faults once ranks have run."""
    if is_fault(attempt, reason):
        name = failure.worker_name if failure is not None else ""
        return job.model_copy(update={"faulty_workers": (*job.faulty_workers, name)})
    return job.model_copy(update={"faulty_workers": ()}) if attempt.started and job.faulty_workers else job


def _final_sentence(job: Job, reason: EndReason, sentence: str) -> str:
    if reason is EndReason.TIMED_OUT and job.checkpoints:
        return f"{sentence} `--from-checkpoint {job.name}` continues from {job.checkpoints[-1].words}."
    if reason is EndReason.TIMED_OUT:
        return f"{sentence} The job saved no checkpoint."
    if reason.retryable and job.attempt_number > 1:
        return f"{sentence} The job failed after {job.attempt_number} attempts."
    return sentence


def finish(job: Job, reason: EndReason, sentence: str, now: float) -> Job:
    """End the job with its last status, reason and time. Warn about files that are not kept."""
    job = warn_of_unstored(job, now)
    job = job.model_copy(
        update={"status": reason.status, "reason": reason, "sentence": sentence, "ended_at": now, "hold": False}
    )
    return emit(job, f"job.{reason.status.value}", now, reason=reason.value, sentence=sentence)


def failure_of(assignment: Assignment, reason: EndReason, now: float, error: str | None = None) -> Failure:
    """A failure of all ranks of one worker."""
    return Failure(reason=reason, worker=assignment.worker, worker_name=assignment.worker_name, at=now, error=error)
