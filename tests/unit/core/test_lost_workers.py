"""Workers and ranks that are lost, refuse, are late, or vanish."""

from __future__ import annotations

import pytest

from headway.core import transitions
from headway.core.end_reason import EndReason
from headway.core.facts import (
    OutputsStored,
    RankFinished,
    Released,
    WorkerStopping,
)
from headway.core.status import AssignmentState, JobStatus
from headway.core.worker_faults import FREE_FAULTS
from tests.unit.core.jobs import NOW, ended_rank, finish, placed, queued, report, running


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
    assert job.sentence.endswith("The job failed after 3 attempts.")


def test_ranks_that_vanish_count_as_failures() -> None:
    job = queued(retries=1)
    for _ in range(FREE_FAULTS + 2):
        job = transitions.claim(placed(job), job.attempt_number + 1, "w0", "h:1")
        job = report(job, "w0", Released(), last=True)
    assert (job.status, job.reason) == (JobStatus.FAILED, EndReason.RANKS_VANISHED)


def test_a_rank_that_somebody_else_asked_to_end_has_left() -> None:
    """Given ranks that left without a request, then the attempt fails with a warning, and the job continues."""
    left = [ended_rank(rank, exit_code=0, stopped=True) for rank in (0, 1)]
    job = report(running(), "w0", *left, OutputsStored(), Released(), last=True)
    assert (job.status, job.attempt.reason, job.retries_used) == (JobStatus.QUEUED, EndReason.RANK_LEFT, 1)
    assert job.sentence == "Rank 0 exited after a signal that Headway did not send."


def test_ranks_that_left_with_those_of_a_worker_that_stops_are_no_failure() -> None:
    """All ranks agree to stop. Ranks on other workers may end before the stopping worker reports it."""
    left = ended_rank(1, exit_code=0, stopped=True)
    job = report(running(workers=2), "w1", left, OutputsStored(), Released(), last=True)
    job = report(job, "w0", WorkerStopping(), ended_rank(0, exit_code=0, stopped=True), Released(), last=True)
    assert (job.status, job.attempt.reason, job.retries_used) == (JobStatus.QUEUED, EndReason.WORKER_STOPPED, 0)


def test_ranks_that_finished_without_their_outputs_name_the_worker() -> None:
    """Given a worker that released finished ranks and stored no outputs, then the sentence names it."""
    finished = [RankFinished(rank=0), RankFinished(rank=1)]
    job = report(running(queued(retries=0)), "w0", *finished, Released(), last=True)
    assert (job.status, job.reason) == (JobStatus.FAILED, EndReason.RANKS_VANISHED)
    assert "Worker worker0 lost its launcher" in job.sentence
