"""How far a training is, and how long its ranks ran."""

from __future__ import annotations

from headway.core import transitions
from headway.core.attempt import Attempt
from headway.core.job import Job
from headway.core.training_progress import training_progress
from tests.unit.core.jobs import NOW, queued, running


def training(total_steps: int | None) -> Job:
    """A job whose attempt continued from step 40 and made its next step at second 10."""
    attempt = Attempt(
        number=2,
        placed_at=0.0,
        assignments=(),
        started_at=1.0,
        total_steps=total_steps,
        stages={"first_step": 10.0},
        restored_step=40,
    )
    return queued().model_copy(update={"attempt": attempt})


def test_rate_and_time_left_come_from_the_steps_of_this_attempt() -> None:
    """Given 20 steps in 20 seconds since step 40, the other 40 of 100 take 40 seconds."""
    progress = training_progress(training(100), 60, now=30.0)
    assert progress is not None
    assert (progress.step, progress.total_steps) == (60, 100)
    assert progress.steps_per_second == 1.0
    assert progress.remaining_seconds == 40.0


def test_one_step_gives_no_rate() -> None:
    progress = training_progress(training(100), 41, now=30.0)
    assert progress is not None
    assert (progress.step, progress.steps_per_second, progress.remaining_seconds) == (41, None, None)


def test_a_script_that_declares_no_number_of_steps_has_a_rate_but_no_end() -> None:
    progress = training_progress(training(None), 60, now=30.0)
    assert progress is not None
    assert (progress.steps_per_second, progress.remaining_seconds) == (1.0, None)


def test_there_is_no_progress_before_the_first_step_and_after_the_end() -> None:
    job = training(100)
    assert training_progress(job, None, now=30.0) is None
    assert job.attempt is not None
    ended = job.model_copy(update={"attempt": job.attempt.model_copy(update={"ended_at": 20.0})})
    assert training_progress(ended, 60, now=30.0) is None


def test_the_queue_and_pauses_do_not_count_as_run_time() -> None:
    """Given an attempt whose ranks ran for 5 s and were lost, and a second one that ran for 3 s after a long queue."""
    job = transitions.lose_worker(running(), "w0", NOW + 5)
    assert job.ran_seconds == 5.0
    job = running(job.model_copy(update={"created_at": 0.0}))
    job = transitions.lose_worker(job, "w0", NOW + 3)
    assert job.ran_seconds == 8.0
