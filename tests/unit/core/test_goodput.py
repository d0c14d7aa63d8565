"""Where a job's time went."""

from __future__ import annotations

import math

import pytest

from headway.core.attempt import Attempt
from headway.core.goodput import goodput
from headway.core.job import Job, JobSpec
from headway.core.progress import LoggedSteps, kept_through, repeated_steps
from headway.core.retry import recent, requeue_delay_seconds, steps_in_row


def job(**fields: object) -> Job:
    spec = JobSpec(command=("true",))
    return Job(
        id="j", project="default", name="j", idempotency_key="k", body_hash="h", spec=spec, created_at=0.0, **fields
    )


def attempt(number: int, placed: float, first_step: float | None, ended: float | None, **fields: object) -> Attempt:
    stages = {} if first_step is None else {"first_step": first_step}
    return Attempt(
        number=number, placed_at=placed, started_at=first_step, ended_at=ended, assignments=(), stages=stages, **fields
    )


def test_one_attempt_that_went_well() -> None:
    found = goodput(job(ended_at=100.0), [attempt(1, 10.0, 15.0, 100.0)], now=500.0)
    assert (found.waiting_seconds, found.startup_seconds, found.useful_seconds) == (10.0, 5.0, 85.0)
    assert (found.repeated_seconds, found.fraction) == (0.0, 85 / 90)


def test_training_after_the_checkpoint_counts_as_repeated() -> None:
    attempts = [
        attempt(1, 0.0, 10.0, 100.0),
        attempt(2, 110.0, None, 112.0),  # its worker was lost before it began
        attempt(3, 120.0, 130.0, 200.0, restored_step=7, restored_saved_at=80.0),
    ]
    found = goodput(job(ended_at=200.0), attempts, now=200.0)
    assert found.repeated_seconds == 20.0
    assert found.useful_seconds == 70.0 + 70.0
    assert found.startup_seconds == 10.0 + 2.0 + 10.0
    assert found.waiting_seconds == 18.0


def test_an_attempt_that_made_no_step_repeats_nothing() -> None:
    """Given an attempt that ended before its first step, then earlier training counts as before."""
    without_step = attempt(2, 110.0, None, 120.0).model_copy(update={"started_at": 112.0})
    resumed = attempt(3, 120.0, 130.0, 200.0, restored_step=9, restored_saved_at=100.0)
    found = goodput(job(ended_at=200.0), [attempt(1, 0.0, 10.0, 100.0), without_step, resumed], now=200.0)
    assert (found.useful_seconds, found.repeated_seconds) == (90.0 + 70.0, 0.0)
    assert found.startup_seconds == 10.0 + 10.0 + 10.0


def test_the_earliest_checkpoint_where_a_later_attempt_continued_counts() -> None:
    attempts = [
        attempt(1, 0.0, 0.0, 100.0),
        attempt(2, 100.0, 100.0, 110.0, restored_step=9, restored_saved_at=90.0),
        attempt(3, 110.0, 110.0, 200.0, restored_step=5, restored_saved_at=50.0),  # the newer one was damaged
    ]
    found = goodput(job(ended_at=200.0), attempts, now=200.0)
    assert (found.useful_seconds, found.repeated_seconds) == (50.0 + 90.0, 50.0 + 10.0)


def test_without_logged_steps_ranks_train_from_their_start() -> None:
    attempts = [
        attempt(number, placed, None, placed + 50.0).model_copy(update={"started_at": placed + 10.0})
        for number, placed in ((1, 0.0), (2, 50.0))
    ]
    found = goodput(job(ended_at=100.0), attempts, now=100.0)
    assert (found.useful_seconds, found.repeated_seconds, found.startup_seconds) == (40.0, 40.0, 20.0)


def test_an_attempt_from_the_beginning_makes_earlier_training_repeated() -> None:
    attempts = [attempt(1, 0.0, 10.0, 100.0), attempt(2, 100.0, 101.0, None)]
    found = goodput(job(), attempts, now=151.0)
    assert (found.repeated_seconds, found.useful_seconds) == (90.0, 50.0)


@pytest.mark.parametrize("logs_steps", [True, False])
def test_what_an_attempt_found_in_the_working_directory_counts_as_a_checkpoint(logs_steps: bool) -> None:
    """Given an attempt that read a snapshot of the previous one, then only later steps were repeated."""
    second = attempt(2, 100.0, 110.0, 200.0, continued_from=80.0)
    attempts = [attempt(1, 0.0, 10.0, 100.0), second]
    if not logs_steps:
        attempts = [one.model_copy(update={"stages": {}}) for one in attempts]
    found = goodput(job(ended_at=200.0), attempts, now=200.0)
    assert (found.repeated_seconds, found.useful_seconds, found.startup_seconds) == (20.0, 70.0 + 90.0, 20.0)
    logged = [LoggedSteps(1, 10), LoggedSteps(8, 20)]
    assert kept_through(attempts, logged) == [7, math.inf]
    assert repeated_steps(attempts, logged) == [None, 3]


def test_pauses_do_not_count_as_waiting() -> None:
    found = goodput(job(held_at=60.0, held_seconds=5.0), [attempt(1, 0.0, 0.0, 50.0)], now=70.0)
    assert (found.paused_seconds, found.waiting_seconds) == (15.0, 5.0)


def test_before_anything_ran_there_is_no_fraction() -> None:
    assert goodput(job(), [], now=9.0).fraction is None


def test_failures_outside_the_window_do_not_count() -> None:
    assert recent((10.0, 60.0, 99.0), now=100.0, window_seconds=50.0) == (60.0, 99.0)


def test_failures_in_a_row_at_one_step() -> None:
    steps: tuple[int, ...] = ()
    for step, expected in ((5, 1), (5, 2), (6, 1), (6, 2), (6, 3), (None, 0), (6, 1)):
        steps = steps_in_row(steps, step)
        assert len(steps) == expected


def test_the_delay_grows_only_while_no_checkpoint_comes() -> None:
    from headway.core.end_reason import EndReason

    delays = [requeue_delay_seconds(EndReason.RANK_KILLED, row, 1.0) for row in (1, 2, 3, 9)]
    assert delays == [0.0, 1.0, 2.0, 30.0]
    assert requeue_delay_seconds(EndReason.PAUSED, 0, 1.0) == 0.0
