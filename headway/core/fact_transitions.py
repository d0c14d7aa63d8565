"""How the facts that workers report change a job. Pure, as all transitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from headway.core.actor import Actor, ActorKind
from headway.core.attempt import Assignment
from headway.core.attempt_end import end_when_released, failure_of, stop
from headway.core.checkpoint_transitions import (
    damaged,
    links_left_out,
    not_saved,
    part_stored,
    restored,
    warn_unless_restored,
)
from headway.core.end_reason import EndReason, classify_rank_end
from headway.core.facts import (
    ArtifactStored,
    AsksToSave,
    CheckpointDamaged,
    CheckpointNotSaved,
    CheckpointPartStored,
    CheckpointRestored,
    Fact,
    FilesLeft,
    LeftFilesRead,
    LinksLeftOut,
    NeverMet,
    OutputsStored,
    PrepareFailed,
    RankEnded,
    RankFinished,
    RanksIdle,
    RankStarted,
    Released,
    ResultStored,
    StageReached,
    Stalled,
    WorkerFailed,
    WorkerStopping,
    WorkingDirectoryReady,
)
from headway.core.failure import Failure
from headway.core.job import Job
from headway.core.job_change import attributed, emit, update_assignment, update_attempt, warn
from headway.core.job_times import dated
from headway.core.left_files_transitions import directory_ready, files_left
from headway.core.status import AssignmentState, JobStatus


class ReportedFacts(NamedTuple):
    """The facts of one report, in order of time. `last`: no report of this worker follows."""

    worker: str
    number: int
    facts: tuple[Fact, ...]
    last: bool = False


def apply_facts(job: Job, number: int, reports: Iterable[ReportedFacts], now: float) -> Job:
    """Apply the facts of reports, those of each worker in order of their numbers. Applied reports are skipped.

    Only facts of the current attempt count, until it has ended: the attempt's number is the fence.
    """
    for report in reports:
        attempt = job.open_attempt(number)
        if attempt is None:
            return job
        assignment = attempt.assignment_of(report.worker)
        if assignment is None or assignment.lost or report.number <= assignment.applied:
            continue
        before = job
        job = update_assignment(
            job, report.worker, applied=report.number, last_number=report.number if report.last else None
        )
        for fact in report.facts:
            job = _apply(job, report.worker, dated(fact, job.attempt or attempt, now), now)
        job = attributed(before, job, Actor(kind=ActorKind.WORKER, worker=report.worker))
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
            return update_attempt(job.model_copy(update={"result": fact.result}), said_finished=True)
        case CheckpointPartStored():
            return part_stored(job, attempt, fact, now)
        case CheckpointNotSaved():
            return not_saved(job, fact, now)
        case LinksLeftOut():
            return links_left_out(job, fact, now)
        case CheckpointRestored():
            return restored(job, attempt, fact, now)
        case CheckpointDamaged():
            return damaged(job, fact, now)
        case AsksToSave():
            return update_attempt(job, asks_to_save=True)
        case RankFinished():
            return update_assignment(job, worker, finished_ranks=_with_rank(assignment.finished_ranks, fact.rank))
        case RankEnded():
            return _rank_ended(job, assignment, fact, now)
        case Stalled():
            return _stalled(job, assignment, fact, now)
        case RanksIdle():
            return _ranks_idle(job, assignment, fact, now)
        case PrepareFailed():
            return stop(job, failure_of(assignment, _prepare_reason(fact), now, error=fact.error), now)
        case WorkerFailed():
            return stop(job, failure_of(assignment, EndReason.WORKER_FAILED, now, error=fact.error), now)
        case NeverMet():
            return update_assignment(job, worker, never_met=True)
        case OutputsStored():
            job = update_assignment(job, worker, outputs_stored=True)
            return job if fact.warning is None else warn(job, fact.warning, now)
        case WorkingDirectoryReady():
            return directory_ready(job, attempt, assignment, fact, now)
        case LeftFilesRead():
            return update_attempt(job, continued_from=max(fact.modified_at, attempt.continued_from or 0.0))
        case FilesLeft():
            return files_left(job, assignment, fact, now)
        case WorkerStopping():
            if attempt.finished:
                return job
            return stop(job, failure_of(assignment, EndReason.WORKER_STOPPED, now), now)
        case Released():
            return _released(job, assignment, now)


def _prepare_reason(fact: PrepareFailed) -> EndReason:
    if fact.environment:
        return EndReason.ENVIRONMENT_FAILED
    if fact.input_unusable:
        return EndReason.INPUT_UNUSABLE
    return EndReason.WORKER_FAULTY if fact.own_fault else EndReason.PREPARE_FAILED


def _rank_started(job: Job, assignment: Assignment, now: float) -> Job:
    changes: dict[str, Any] = {"started_ranks": assignment.started_ranks + 1}
    if assignment.state is AssignmentState.CLAIMED:
        changes["state"] = AssignmentState.RUNNING
    job = update_assignment(job, assignment.worker, **changes)
    if job.status is JobStatus.STARTING and job.attempt is not None and job.attempt.started:
        job = update_attempt(job, started_at=now)
        job = job.model_copy(update={"status": JobStatus.RUNNING, "started_at": job.started_at or now})
        job = emit(job, "attempt.started", now, attempt=job.attempt_number)
    return job


def _rank_ended(job: Job, assignment: Assignment, fact: RankEnded, now: float) -> Job:
    job = update_assignment(job, assignment.worker, ended_ranks=assignment.ended_ranks + 1)
    clean = fact.exit_code == 0
    if fact.finished:
        if not clean and not fact.stopped:
            how = fact.signal or f"exit code {fact.exit_code}"
            job = warn(job, f"Rank {fact.rank} ended with {how} after its script had finished.", now)
        return _warn_of_cut_exit(job, assignment, fact, now)
    if fact.left:
        job = update_assignment(job, assignment.worker, left_ranks=_with_rank(assignment.left_ranks, fact.rank))
        total_steps = job.attempt.total_steps if job.attempt else None
        if total_steps is not None and fact.step is not None and fact.step >= total_steps:
            job = update_attempt(job, said_finished=True)
    if fact.stopped:
        return job if clean else _count_if_said(job, fact, assignment.worker, now)
    reason = classify_rank_end(
        signal=fact.signal,
        raised=fact.error is not None,
        secondary=fact.secondary,
        out_of_memory=fact.out_of_memory,
        environment=fact.environment,
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
    return stop(job, failure, now)


def _count_if_said(job: Job, fact: RankEnded, worker: str, now: float) -> Job:
    """Count a rank that a stop ended if the script had said before that it was finished: that is at most a warning."""
    attempt = job.attempt
    assignment = attempt.assignment_of(worker) if attempt else None
    if attempt is None or assignment is None or not attempt.said_finished or attempt.reason not in _ENDED_BECAUSE:
        return job
    job = update_assignment(job, worker, left_ranks=_with_rank(assignment.left_ranks, fact.rank))
    how = fact.signal or f"exit code {fact.exit_code}"
    why = _ENDED_BECAUSE[attempt.reason].format(worker=assignment.worker_name)
    words = (
        f"The script had said that it was finished, then rank {fact.rank} ended with {how}, because {why}. "
        "What it had still to write may be missing."
    )
    return warn(job, words, now)


def _warn_of_cut_exit(job: Job, assignment: Assignment, fact: RankEnded, now: float) -> Job:
    """Warn that Headway ended a process whose script had finished; the worker warns of HEADWAY_EXIT_LIMIT_SECONDS."""
    reason = job.attempt.reason if job.attempt else None
    if fact.exit_code == 0 or not fact.stopped or reason is None:
        return job
    why = _ENDED_BECAUSE.get(reason, "the attempt was ended").format(worker=assignment.worker_name)
    words = (
        f"Rank {fact.rank} had finished, but its process was ended before its exit handlers had finished, because "
        f"{why}. Files that they write may be missing."
    )
    return warn(job, words, now)


_ENDED_BECAUSE = {
    EndReason.TIMED_OUT: "the job's time limit had passed",
    EndReason.CANCELLED: "the job was cancelled",
    EndReason.PAUSED: "the job was paused",
    EndReason.DRAINED: "worker {worker} was drained",
    EndReason.WORKER_STOPPED: "worker {worker} was shut down",
}


def _with_rank(ranks: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return tuple(sorted({*ranks, rank}))


def _stalled(job: Job, assignment: Assignment, fact: Stalled, now: float) -> Job:
    if job.attempt is None or job.attempt.finished:
        return job
    waits = f"{fact.silent_seconds:.0f} s"
    if fact.absent_ranks:
        ranks = ", ".join(map(str, fact.absent_ranks[:10]))
        one = len(fact.absent_ranks) == 1
        waits += f"; the other ranks wait for {'rank' if one else 'ranks'} {ranks}"
    failure = failure_of(assignment, EndReason.STALLED, now, error=waits)
    return stop(job, failure.model_copy(update={"step": fact.step}), now)


def _ranks_idle(job: Job, assignment: Assignment, fact: RanksIdle, now: float) -> Job:
    several = assignment.rank_count > 1
    ranks = f"Ranks {assignment.ranks[0]} to {assignment.ranks[-1]}" if several else f"Rank {assignment.first_rank}"
    words = (
        f"{ranks} on worker {assignment.worker_name} {'have' if several else 'has'} logged no step, computed nothing "
        f"and printed nothing for {fact.idle_seconds:.0f} s. `headway stacks {job.name}` shows where they wait."
    )
    return warn(job, words, now)


def _released(job: Job, assignment: Assignment, now: float) -> Job:
    if assignment.state is AssignmentState.RELEASED:
        return job
    job = update_assignment(job, assignment.worker, state=AssignmentState.RELEASED)
    attempt = job.attempt
    stopping = attempt is not None and attempt.reason is not None
    said_finished = attempt is not None and attempt.said_finished
    if not assignment.finished(said=said_finished) and not stopping:
        # Its ranks ended unfinished, so the gang cannot continue.
        if assignment.ended_ranks < assignment.rank_count:
            return stop(job, failure_of(assignment, EndReason.RANKS_VANISHED, now), now)
        left = next(rank for rank in assignment.ranks if rank not in assignment.finished_ranks)
        failure = failure_of(assignment, EndReason.RANK_LEFT, now)
        return stop(job, failure.model_copy(update={"rank": left}), now)
    return end_when_released(job, now)
