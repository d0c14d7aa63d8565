"""Transitions of the state machine, from the queue to ends that were not requested."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headway.core import transitions
from headway.core.end_reason import EndReason
from headway.core.fact_transitions import ReportedFacts, apply_facts
from headway.core.facts import (
    NeverMet,
    OutputsStored,
    PrepareFailed,
    RankFinished,
    RanksIdle,
    RankStarted,
    Released,
    StageReached,
    WorkerStopping,
)
from headway.core.job import Job
from headway.core.status import AssignmentState, JobStatus
from headway.errors import ClaimRefused
from tests.unit.core.jobs import NOW, ended_rank, finish, placed, queued, report, running


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
def test_ranks_that_never_connected_cause_a_warning(workers_alone: tuple[str, ...], warned: bool) -> None:
    job = running(workers=2)
    for number, worker in enumerate(("w0", "w1")):
        job = report(job, worker, *((NeverMet(),) if worker in workers_alone else ()))
        job = report(finish(job, worker, (number,)), worker, Released(), last=True)
    assert job.status is JobStatus.SUCCEEDED
    assert [warning.startswith("None of the 2 ranks connected") for warning in job.warnings] == [True] * warned


def test_a_single_rank_has_no_other_to_meet() -> None:
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
        (PrepareFailed(error="a bomb", input_unusable=True), EndReason.INPUT_UNUSABLE, JobStatus.FAILED),
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
        "Rank 1 had finished, but its process was ended before its exit handlers had finished, because "
        f"{why}. Files that they write may be missing.",
    )


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


def test_ranks_that_wait_for_long_before_their_first_step_are_warned_of() -> None:
    job = report(running(workers=2), "w1", RanksIdle(idle_seconds=1801.2))
    assert job.status is JobStatus.RUNNING
    assert job.warnings == (
        "Rank 1 on worker worker1 has logged no step, computed nothing and printed nothing for 1801 s. "
        "`headway stacks s` shows where they wait.",
    )
