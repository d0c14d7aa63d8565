"""How ranks count that Headway asked to end."""

from __future__ import annotations

import pytest

from headway.core import transitions
from headway.core.attempt import Attempt
from headway.core.end_reason import EndReason
from headway.core.facts import OutputsStored, RankFinished, Released, ResultStored, StageReached
from headway.core.status import JobStatus
from tests.unit.core.jobs import NOW, ended_rank, report, running

STOPS = {
    "paused": (transitions.pause, JobStatus.QUEUED, EndReason.PAUSED),
    "cancelled": (transitions.cancel, JobStatus.CANCELLED, EndReason.CANCELLED),
    "timed out": (transitions.time_out, JobStatus.FAILED, EndReason.TIMED_OUT),
    "drained": (lambda job, now: transitions.drain_worker(job, "w0", now), JobStatus.QUEUED, EndReason.DRAINED),
}
LEFT = {"exit_code": 0, "stopped": True, "left": True}
KILLED = {"signal": "SIGTERM", "stopped": True}
ENDS: dict[str, tuple[list[object], bool]] = {
    "both left": ([ended_rank(0, **LEFT), ended_rank(1, **LEFT)], False),
    "one finished, one left": (
        [RankFinished(rank=0), ended_rank(0, exit_code=0, finished=True), ended_rank(1, **LEFT)],
        False,
    ),
    "one rank finished twice, one left": (
        [RankFinished(rank=0), RankFinished(rank=0), ended_rank(1, **LEFT)],
        False,
    ),
    "a rank of another worker finished": ([RankFinished(rank=7), RankFinished(rank=0)], False),
    "both left, the result is there": ([ResultStored(result={}), ended_rank(0, **LEFT), ended_rank(1, **LEFT)], True),
    "the result comes later": ([ended_rank(0, **LEFT), ended_rank(1, **LEFT), ResultStored(result={})], True),
    "the result is there, then one was killed": (
        [ResultStored(result={}), ended_rank(0, **LEFT), ended_rank(1, **KILLED)],
        True,
    ),
    "the result is there, then both were killed": (
        [ResultStored(result={}), ended_rank(0, **KILLED), ended_rank(1, exit_code=143, stopped=True)],
        True,
    ),
    "one was killed, then the result came": (
        [ended_rank(1, **KILLED), ResultStored(result={}), ended_rank(0, **LEFT)],
        False,
    ),
    "both were killed without a result": ([ended_rank(0, **KILLED), ended_rank(1, **KILLED)], False),
    "the result is there, one says that it stopped": (
        [ResultStored(result={}), ended_rank(0, **LEFT), ended_rank(1, exit_code=0, stopped=True)],
        False,
    ),
    "the last declared step was logged": (
        [
            StageReached(stage="data_ready", at=NOW, total_steps=8),
            ended_rank(1, **LEFT, step=8),
            ended_rank(0, **LEFT, step=8),
        ],
        True,
    ),
    "the step before the last was logged": (
        [
            StageReached(stage="data_ready", at=NOW, total_steps=8),
            ended_rank(1, **LEFT, step=7),
            ended_rank(0, **LEFT, step=7),
        ],
        False,
    ),
    "both finished": ([RankFinished(rank=0), RankFinished(rank=1)], True),
}


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("end", ENDS)
def test_a_stop_that_was_asked_for_is_completion_only_if_the_script_says_so(stop: str, end: str) -> None:
    ask, status, reason = STOPS[stop]
    facts, completed = ENDS[end]
    job = report(ask(running(), NOW), "w0", *facts, OutputsStored(), Released(), last=True)
    if completed:
        assert (job.status, job.reason) == (JobStatus.SUCCEEDED, EndReason.COMPLETED)
    else:
        assert (job.status, job.attempt.reason) == (status, reason)


def test_ranks_on_two_workers_finish_by_what_rank_0_says() -> None:
    """Given ranks that left on two workers, when the result of rank 0 comes last, then the job has succeeded."""
    job = transitions.pause(running(workers=2), NOW)
    job = report(job, "w1", ended_rank(1, **LEFT), OutputsStored(), Released(), last=True)
    job = report(
        job, "w0", ResultStored(result={"x": 1}), ended_rank(0, **LEFT), OutputsStored(), Released(), last=True
    )
    assert job.status is JobStatus.SUCCEEDED


def test_a_rank_that_was_killed_after_the_result_is_a_warning() -> None:
    facts = [ResultStored(result={}), ended_rank(0, **LEFT), ended_rank(1, **KILLED), OutputsStored(), Released()]
    job = report(transitions.pause(running(), NOW), "w0", *facts, last=True)
    assert job.status is JobStatus.SUCCEEDED
    (warning,) = [event.data["warning"] for event in job.events if event.type == "job.warned"]
    assert warning == (
        "The script had said that it was finished, then rank 1 ended with SIGTERM, because the job was paused. "
        "What it had still to write may be missing."
    )


def test_a_rank_that_ends_because_another_failed_is_not_finished_by_the_result() -> None:
    """Given a result, and a rank that raised before the others were killed for it, then the attempt has failed."""
    raised = ended_rank(1, exit_code=1, error="ValueError: x")
    facts = [ResultStored(result={}), raised, ended_rank(0, **KILLED), OutputsStored(), Released()]
    job = report(running(), "w0", *facts, last=True)
    assert job.status is not JobStatus.SUCCEEDED
    assert [event.type for event in job.events if event.type == "job.warned"] == []


@pytest.mark.parametrize("later", [0, 1])
def test_ranks_that_an_older_server_counted_may_be_any(later: int) -> None:
    """Given one of two ranks that an older server counted as finished, when the other finishes, then both have."""
    job = running()
    stored = job.attempt.model_dump(mode="json")
    stored["assignments"][0]["finished_ranks"] = 1
    attempt = Attempt.model_validate(stored)
    assert not attempt.all_finished
    assert Attempt.model_validate_json(attempt.model_dump_json()) == attempt
    job = report(job.model_copy(update={"attempt": attempt}), "w0", RankFinished(rank=later))
    assert job.attempt.all_finished
