"""Jobs that are cancelled or paused."""

from __future__ import annotations

import pytest

from headway.core import transitions
from headway.core.end_reason import EndReason
from headway.core.facts import (
    RankFinished,
    Released,
)
from headway.core.status import JobStatus
from headway.errors import Conflict
from tests.unit.core.jobs import NOW, ended_rank, finish, queued, report, running


def test_ranks_that_finish_while_they_are_paused_warn_of_their_exit_handlers() -> None:
    job = report(transitions.pause(running(), NOW), "w0", RankFinished(rank=0), RankFinished(rank=1))
    job = report(job, "w0", ended_rank(0, signal="SIGKILL", finished=True, stopped=True))
    assert "finished, because the job was paused" in job.warnings[0]


def test_a_job_whose_ranks_have_all_finished_cannot_be_paused() -> None:
    job = report(running(), "w0", RankFinished(rank=0), RankFinished(rank=1))
    with pytest.raises(Conflict, match="is about to end, so it cannot be paused"):
        transitions.pause(job, NOW)


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
