"""The state machine, move by move."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headway.core import transitions
from headway.core.checkpoint_transitions import MAXIMUM_SAVING
from headway.core.end_reason import EndReason
from headway.core.fact_transitions import ReportedFacts, apply_facts
from headway.core.facts import (
    CheckpointPartStored,
    NeverMet,
    OutputsStored,
    PrepareFailed,
    RankEnded,
    RankFinished,
    RanksIdle,
    RankStarted,
    Released,
    StageReached,
    WorkerStopping,
)
from headway.core.faults import FREE_FAULTS
from headway.core.job import Job, JobSpec
from headway.core.placement import Share
from headway.core.status import AssignmentState, JobStatus
from headway.errors import ClaimRefused, Conflict

NOW = 1000.0


def queued(world_size: int = 2, retries: int = 3) -> Job:
    spec = JobSpec(script="s.py", source="", world_size=world_size, retries=retries)
    return Job(id="j-1", project="default", name="s", idempotency_key="k", body_hash="h", spec=spec, created_at=NOW)


def placed(job: Job | None = None, *, workers: int = 1) -> Job:
    job = job or queued()
    each = job.spec.world_size // workers
    shares = [Share(f"w{n}", f"worker{n}", n * each, each) for n in range(workers)]
    return transitions.place(job, shares, NOW)


def running(job: Job | None = None, *, workers: int = 1) -> Job:
    job = placed(job, workers=workers)
    assert job.attempt is not None
    for assignment in job.attempt.assignments:
        job = transitions.claim(job, job.attempt_number, assignment.worker, f"host:{assignment.first_rank}")
    for assignment in job.attempt.assignments:
        ranks = range(assignment.first_rank, assignment.first_rank + assignment.rank_count)
        job = report(job, assignment.worker, *(RankStarted(rank=rank, pid=1) for rank in ranks))
    assert job.status is JobStatus.RUNNING
    return job


def report(job: Job, worker: str, *facts: object, last: bool = False, number: int | None = None) -> Job:
    assignment = job.attempt.assignment_of(worker)
    number = number or assignment.applied + 1
    return apply_facts(job, job.attempt_number, [ReportedFacts(worker, number, facts, last)], NOW)


def finish(job: Job, worker: str = "w0", ranks: tuple[int, ...] = (0, 1)) -> Job:
    facts = [RankFinished(rank=rank) for rank in ranks]
    facts += [RankEnded(rank=rank, at=NOW, exit_code=0, finished=True) for rank in ranks]
    facts += [OutputsStored()]
    return report(job, worker, *facts)


def ended_rank(rank: int = 1, **fields: object) -> RankEnded:
    return RankEnded(rank=rank, at=NOW, **fields)


def test_a_job_succeeds_when_all_ranks_finished_and_are_gone() -> None:
    job = finish(running())
    assert job.status is JobStatus.RUNNING  # its ranks hold slots until the worker says that they are gone
    job = report(job, "w0", Released(), last=True)
    assert (job.status, job.reason) == (JobStatus.SUCCEEDED, EndReason.COMPLETED)
    assert [event.type for event in job.events] == [
        "attempt.placed",
        "attempt.started",
        "attempt.ended",
        "job.succeeded",
    ]


def test_ranks_may_start_only_when_all_workers_have_claimed() -> None:
    job = transitions.claim(placed(workers=2), 1, "w0", "h:1")
    assert not job.attempt.all_claimed
    job = transitions.claim(job, 1, "w1", "h:2")
    assert job.attempt.all_claimed
    assert job.attempt.endpoint == "h:1"  # rank 0's worker, whoever claimed last
    assert [wakeup.worker for wakeup in job.wakeups] == ["w0", "w1", "w0"]  # placed twice, then "go" to the other


def test_the_store_stays_known_when_the_first_ranks_end_before_the_others_start() -> None:
    job = transitions.claim(placed(workers=2), 1, "w1", "h:2")
    job = transitions.claim(job, 1, "w0", "h:1")
    job = report(job, "w0", RankStarted(rank=0, pid=1), RankFinished(rank=0), Released(), last=True)
    assert job.attempt.all_claimed
    assert transitions.claim(job, 1, "w1", "h:2").attempt.endpoint == "h:1"


@pytest.mark.parametrize(("workers_alone", "warned"), [((), False), (("w0",), False), (("w0", "w1"), True)])
def test_ranks_that_never_met_are_told_of(workers_alone: tuple[str, ...], warned: bool) -> None:
    job = running(workers=2)
    for number, worker in enumerate(("w0", "w1")):
        job = report(job, worker, *((NeverMet(),) if worker in workers_alone else ()))
        job = report(finish(job, worker, (number,)), worker, Released(), last=True)
    assert job.status is JobStatus.SUCCEEDED
    assert [warning.startswith("None of the 2 ranks connected") for warning in job.warnings] == [True] * warned


def test_a_rank_alone_has_nobody_to_meet() -> None:
    job = report(finish(running(queued(world_size=1)), ranks=(0,)), "w0", NeverMet(), Released(), last=True)
    assert job.warnings == ()


def test_a_repeated_claim_changes_nothing() -> None:
    job = transitions.claim(placed(), 1, "w0", "h:1")
    assert transitions.claim(job, 1, "w0", "h:2") is job


@pytest.mark.parametrize("number", [0, 2])
def test_a_claim_of_another_attempt_is_refused(number: int) -> None:
    with pytest.raises(ClaimRefused):
        transitions.claim(placed(), number, "w0", "h:1")


def test_a_claim_on_a_stopping_job_is_refused() -> None:
    job = transitions.claim(placed(workers=2), 1, "w0", "h:1")
    job = transitions.cancel(job, NOW)
    for worker in ("w0", "w1"):
        with pytest.raises(ClaimRefused):
            transitions.claim(job, 1, worker, "h:1")


@pytest.mark.parametrize(
    ("fact", "reason", "status"),
    [
        (ended_rank(exit_code=3), EndReason.SCRIPT_EXITED, JobStatus.FAILED),
        (ended_rank(exit_code=1, error="ValueError: x"), EndReason.SCRIPT_RAISED, JobStatus.FAILED),
        (ended_rank(signal="SIGSEGV"), EndReason.RANK_CRASHED, JobStatus.FAILED),
        (ended_rank(signal="SIGKILL"), EndReason.RANK_KILLED, JobStatus.QUEUED),
        (ended_rank(exit_code=1, error="closed by peer", secondary=True), EndReason.PEER_LOST, JobStatus.QUEUED),
        (PrepareFailed(error="no disk"), EndReason.PREPARE_FAILED, JobStatus.QUEUED),
        (WorkerStopping(), EndReason.WORKER_STOPPED, JobStatus.QUEUED),
    ],
)
def test_what_ends_an_attempt_decides_what_follows(fact: object, reason: EndReason, status: JobStatus) -> None:
    job = report(running(), "w0", fact)
    assert job.status is JobStatus.STOPPING
    job = report(job, "w0", Released(), last=True)
    assert (job.status, job.attempt.reason) == (status, reason)
    assert job.retries_used == int(status is JobStatus.QUEUED and reason.counted)


def test_the_cause_replaces_a_mere_consequence() -> None:
    job = running(workers=2)
    job = report(job, "w0", ended_rank(0, exit_code=1, error="Connection closed by peer", secondary=True))
    job = report(job, "w1", ended_rank(1, signal="SIGSEGV"))
    assert job.attempt.reason is EndReason.RANK_CRASHED
    assert job.attempt.failure.rank == 1


def test_a_failure_stops_the_other_workers() -> None:
    job = report(running(workers=2), "w0", ended_rank(0, exit_code=1))
    assert job.attempt.assignment_of("w1").state is AssignmentState.STOPPING
    assert job.wakeups[-1].worker == "w1"
    job = report(job, "w0", Released(), last=True)
    assert job.status is JobStatus.STOPPING  # the other's slots are still in use
    job = report(job, "w1", ended_rank(1, signal="SIGTERM", stopped=True), Released(), last=True)
    assert (job.status, job.reason) == (JobStatus.FAILED, EndReason.SCRIPT_EXITED)


def test_facts_of_an_older_attempt_are_refused() -> None:
    job = report(running(), "w0", ended_rank(signal="SIGKILL"), Released(), last=True)
    job = running(job)
    assert job.attempt_number == 2
    late = [ReportedFacts("w0", 99, (ended_rank(exit_code=1),))]
    assert apply_facts(job, 1, late, NOW) is job


def test_facts_after_the_end_are_refused() -> None:
    job = report(finish(running()), "w0", Released(), last=True)
    late = [ReportedFacts("w0", 99, (ended_rank(exit_code=1),))]
    assert apply_facts(job, 1, late, NOW) is job


def test_a_report_counts_once() -> None:
    job = report(running(), "w0", RankFinished(rank=0), number=5)
    assert report(job, "w0", RankFinished(rank=0), number=5) is job
    assert job.attempt.assignment_of("w0").finished_ranks == (0,)


def part(step: int, rank: int) -> CheckpointPartStored:
    return CheckpointPartStored(step=step, rank=rank)


def test_a_step_is_a_checkpoint_once_all_ranks_parts_are_there() -> None:
    job = report(running(), "w0", part(10, 0), part(20, 0), part(10, 0))
    assert job.checkpoints == ()
    job = report(job, "w0", part(20, 1))
    assert [(one.attempt, one.step, one.world_size) for one in job.checkpoints] == [(1, 20, 2)]
    assert job.attempt.saving == {}  # the older one will not be completed any more
    job = report(job, "w0", *(part(step, rank) for step in (30, 40, 50) for rank in (0, 1)))
    assert [one.step for one in job.checkpoints] == [30, 40, 50]


def test_an_older_attempts_parts_are_no_checkpoint() -> None:
    job = report(running(), "w0", ended_rank(signal="SIGKILL"), Released(), last=True)
    job = running(job)
    late = [ReportedFacts("w0", 99, (part(10, 0), part(10, 1)))]
    assert apply_facts(job, 1, late, NOW) is job


def test_parts_of_one_rank_only_are_given_up_with_a_warning() -> None:
    job = running()
    job = report(job, "w0", part(1, 0))
    assert list(job.attempt.saving) == [1]  # the other rank's may still come
    for step in range(2, 50):
        job = report(job, "w0", part(step, 0))
    job = report(job, "w0", part(60, 1))
    assert list(job.attempt.saving) == [60], "what the other rank passed over was waited for"
    (warning,) = job.warnings
    assert warning.startswith("Step 1 was saved by 1 of 2 ranks only, so it is no checkpoint: every rank has to call")


def test_an_abort_after_finishing_is_a_warning() -> None:
    job = report(running(), "w0", RankFinished(rank=0), RankFinished(rank=1))
    job = report(job, "w0", ended_rank(0, exit_code=0, finished=True), ended_rank(1, signal="SIGABRT", finished=True))
    job = report(job, "w0", OutputsStored(), Released(), last=True)
    assert job.status is JobStatus.SUCCEEDED
    assert job.warnings == ("Rank 1 ended with SIGABRT after its script had finished.",)


def _cancelled(job: Job) -> Job:
    return transitions.cancel(job, NOW)


def _worker_stops(job: Job) -> Job:
    return report(job, "w0", WorkerStopping())


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        (lambda job: transitions.time_out(job, NOW), "the job's time limit had passed"),
        (_cancelled, "the job was cancelled"),
        (lambda job: transitions.drain_worker(job, "w0", NOW), "worker worker0 was drained"),
        (_worker_stops, "worker worker0 was shut down"),
    ],
)
def test_exit_handlers_that_are_cut_off_are_a_warning(ask: Callable[[Job], Job], why: str) -> None:
    """Given ranks that have finished, when their processes are ended meanwhile, then the job says which and why."""
    job = ask(report(running(), "w0", RankFinished(rank=0), RankFinished(rank=1)))
    killed = ended_rank(1, signal="SIGTERM", finished=True, stopped=True)
    job = report(job, "w0", ended_rank(0, exit_code=0, finished=True, stopped=True), killed)
    job = report(job, "w0", OutputsStored(), Released(), last=True)
    assert job.status is JobStatus.SUCCEEDED
    assert job.warnings == (
        "Rank 1 had finished, but its process was ended before its exit handlers were through, because "
        f"{why}. What they write may be missing.",
    )


def test_ranks_that_finish_while_they_are_paused_warn_of_their_exit_handlers() -> None:
    job = report(transitions.pause(running(), NOW), "w0", RankFinished(rank=0), RankFinished(rank=1))
    job = report(job, "w0", ended_rank(0, signal="SIGKILL", finished=True, stopped=True))
    assert "through, because the job was paused" in job.warnings[0]


def test_a_job_whose_ranks_have_all_finished_cannot_be_paused() -> None:
    job = report(running(), "w0", RankFinished(rank=0), RankFinished(rank=1))
    with pytest.raises(Conflict, match="is about to end, so it cannot be paused"):
        transitions.pause(job, NOW)


def test_a_lost_worker_ends_the_attempt_and_counts() -> None:
    job = transitions.lose_worker(running(workers=2), "w1", NOW)
    assert job.attempt.assignment_of("w0").state is AssignmentState.STOPPING
    job = report(job, "w0", ended_rank(0, signal="SIGTERM", stopped=True), Released(), last=True)
    assert (job.status, job.attempt.reason, job.retries_used) == (JobStatus.QUEUED, EndReason.WORKER_LOST, 1)
    assert job.settling == (1,)  # its spool may still come, but the next attempt does not wait


def test_a_worker_lost_after_all_finished_costs_a_warning_and_waits_for_its_streams() -> None:
    job = transitions.lose_worker(finish(running()), "w0", NOW)
    assert job.status is JobStatus.STOPPING
    job = transitions.streams_settled(job, 1, 2, NOW)
    assert job.status is JobStatus.SUCCEEDED
    assert "lost after all ranks had finished" in job.warnings[0]


def test_a_refusal_releases_the_gang_and_counts_as_no_failure() -> None:
    job = transitions.claim(placed(workers=2), 1, "w0", "h:1")
    job = transitions.refuse(job, 1, "w1", NOW)
    job = report(job, "w0", Released(), last=True)
    assert (job.status, job.attempt.reason, job.retries_used) == (JobStatus.QUEUED, EndReason.ASSIGNMENT_REFUSED, 0)


@pytest.mark.parametrize(
    ("claimed", "reason", "counted"), [(False, EndReason.ASSIGNMENT_IGNORED, 0), (True, EndReason.PREPARE_TIMED_OUT, 1)]
)
def test_deadlines_release_the_gang(claimed: bool, reason: EndReason, counted: int) -> None:
    job = placed()
    if claimed:
        job = transitions.claim(job, 1, "w0", "h:1")
    job = transitions.expire(job, 1, "w0", NOW)
    if claimed:
        job = report(job, "w0", Released(), last=True)
    assert (job.status, job.attempt.reason, job.retries_used) == (JobStatus.QUEUED, reason, counted)


def test_after_its_retries_a_job_fails_with_the_reason() -> None:
    job = queued(retries=2)
    for _ in range(3):
        assert job.status is JobStatus.QUEUED
        job = report(running(job), "w0", ended_rank(signal="SIGKILL"), Released(), last=True)
    assert (job.status, job.reason, job.attempt_number) == (JobStatus.FAILED, EndReason.RANK_KILLED, 3)
    assert job.sentence.endswith("Gave up after 3 attempts.")


def test_ranks_that_vanish_count_so_that_it_does_not_go_on_for_ever() -> None:
    job = queued(retries=1)
    for _ in range(FREE_FAULTS + 2):
        job = transitions.claim(placed(job), job.attempt_number + 1, "w0", "h:1")
        job = report(job, "w0", Released(), last=True)
    assert (job.status, job.reason) == (JobStatus.FAILED, EndReason.RANKS_VANISHED)


def test_a_rank_that_somebody_else_asked_to_end_has_left() -> None:
    """Given ranks that left though nothing here had asked them to, that is said; it counts, and the job continues."""
    left = [ended_rank(rank, exit_code=0, stopped=True) for rank in (0, 1)]
    job = report(running(), "w0", *left, OutputsStored(), Released(), last=True)
    assert (job.status, job.attempt.reason, job.retries_used) == (JobStatus.QUEUED, EndReason.RANK_LEFT, 1)
    assert job.sentence == "Rank 0 was asked to end by a signal that Headway did not send, and left."


def test_ranks_that_left_with_those_of_a_worker_that_stops_are_no_failure() -> None:
    """All ranks agree on a stop: those elsewhere may be gone before the worker that stops has said so."""
    left = ended_rank(1, exit_code=0, stopped=True)
    job = report(running(workers=2), "w1", left, OutputsStored(), Released(), last=True)
    job = report(job, "w0", WorkerStopping(), ended_rank(0, exit_code=0, stopped=True), Released(), last=True)
    assert (job.status, job.attempt.reason, job.retries_used) == (JobStatus.QUEUED, EndReason.WORKER_STOPPED, 0)


def test_ranks_that_finished_without_their_outputs_name_the_worker() -> None:
    """Given finished ranks of a worker that let go without having stored what they left, the sentence names it."""
    finished = [RankFinished(rank=0), RankFinished(rank=1)]
    job = report(running(queued(retries=0)), "w0", *finished, Released(), last=True)
    assert (job.status, job.reason) == (JobStatus.FAILED, EndReason.RANKS_VANISHED)
    assert "Worker worker0 lost its launcher" in job.sentence


def test_cancelling_a_queued_job_ends_it_at_once() -> None:
    job = transitions.cancel(queued(), NOW)
    assert job.status is JobStatus.CANCELLED
    with pytest.raises(Conflict, match="already cancelled, so it cannot be cancelled"):
        transitions.cancel(job, NOW)


def test_cancelling_a_running_job_waits_for_its_ranks() -> None:
    job = transitions.cancel(running(), NOW)
    assert job.status is JobStatus.STOPPING
    assert transitions.cancel(job, NOW) is job
    job = report(job, "w0", ended_rank(0, signal="SIGTERM", stopped=True), Released(), last=True)
    assert (job.status, job.reason) == (JobStatus.CANCELLED, EndReason.CANCELLED)


def test_a_job_that_finished_before_its_cancellation_took_hold_has_succeeded() -> None:
    job = transitions.cancel(finish(running()), NOW)
    job = report(job, "w0", Released(), last=True)
    assert job.status is JobStatus.SUCCEEDED


def test_stages_keep_their_first_time() -> None:
    job = report(running(), "w0", StageReached(stage="first_step", at=NOW, total_steps=10))
    job = report(job, "w0", StageReached(stage="first_step", at=NOW + 4))
    assert job.attempt.stages["first_step"] == NOW
    assert job.attempt.total_steps == 10


def test_delivered_events_leave_the_job() -> None:
    job = placed()
    trimmed = transitions.delivered(job, job.event_count, job.wakeups)
    assert trimmed.events == trimmed.wakeups == ()
    assert transitions.cancel(trimmed, NOW).events[0].number == job.event_count + 1


def test_ranks_that_never_save_are_not_waited_for_for_ever() -> None:
    job = running()
    for step in range(1, 80):
        job = report(job, "w0", part(step, 0))
    assert len(job.attempt.saving) == MAXIMUM_SAVING
    assert len(job.warnings) == 1


def test_a_paused_job_is_queued_on_hold_and_placed_only_when_it_is_resumed() -> None:
    job = transitions.pause(running(), NOW)
    assert (job.status, job.hold, job.attempt.reason) == (JobStatus.STOPPING, True, EndReason.PAUSED)
    assert transitions.pause(job, NOW) is job
    job = report(job, "w0", ended_rank(0, stopped=True), ended_rank(1, stopped=True), Released(), last=True)
    assert (job.status, job.hold, job.retries_used) == (JobStatus.QUEUED, True, 0)
    assert transitions.place(job, [], NOW) is job
    job = transitions.resume(job, NOW + 60)
    assert (job.hold, job.held_seconds) == (False, 60.0)
    with pytest.raises(Conflict, match="is queued and not paused"):
        transitions.resume(job, NOW)


def test_a_job_that_failed_while_it_was_paused_keeps_its_failure() -> None:
    job = report(running(), "w0", ended_rank(error="ValueError: no", exit_code=1))
    job = transitions.pause(job, NOW)
    job = report(job, "w0", ended_rank(1, stopped=True), Released(), last=True)
    assert (job.status, job.hold, job.reason) == (JobStatus.FAILED, False, EndReason.SCRIPT_RAISED)
    with pytest.raises(Conflict, match="is already failed, so it cannot be paused"):
        transitions.pause(job, NOW)


def test_failures_with_a_checkpoint_between_them_do_not_add_up() -> None:
    job = running()
    for number in (1, 2, 3):
        job = report(job, "w0", part(number, 0), part(number, 1))
        job = report(job, "w0", ended_rank(signal="SIGKILL"), Released(), last=True)
        assert (job.retries_used, job.failures_in_row) == (number, 1)
        job = running(job)


def test_a_part_that_is_long_behind_the_others_is_not_waited_for() -> None:
    job = running()
    facts = [(number, part(number, 0)) for number in range(1, 10)]
    for number, fact in facts:
        reports = [ReportedFacts("w0", number + 10, (fact,), False)]
        job = apply_facts(job, 1, reports, NOW + 2 * number)
    assert min(job.attempt.saving) == 4  # the fourth came 10 s before the ninth
    (warning,) = job.warnings
    assert warning.startswith("Step 1 was saved by 1 of 2 ranks only")


def test_ranks_that_wait_for_long_before_their_first_step_are_warned_of() -> None:
    job = report(running(workers=2), "w1", RanksIdle(idle_seconds=1801.2))
    assert job.status is JobStatus.RUNNING
    assert job.warnings == (
        "Rank 1 on worker worker1 has neither computed nor printed for 1801 s, and logged no step. "
        "See what they wait for: headway stacks s",
    )
