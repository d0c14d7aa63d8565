"""What people read of a job's progress and time."""

from __future__ import annotations

from typing import Any

from headway.cli.job_words import left_of, progress_sentence, ran_seconds, stage_times, step_of, time_sentence

TRAINING = {"step": 87, "total_steps": 600, "steps_per_second": 10.0, "remaining_seconds": 51.3}


def a_job(**fields: Any) -> dict[str, Any]:
    job = {"status": "running", "progress": None, "attempt": None, "resumes_from": None, "ran_seconds": 0.0}
    return {**job, "created_at": 0.0, **fields}


def an_attempt(**fields: Any) -> dict[str, Any]:
    attempt = {"number": 2, "placed_at": 100.0, "started_at": 101.0, "ended_at": 131.0, "stages": {}, "failure": None}
    return {**attempt, "total_steps": None, **fields}


def test_a_job_that_trains_has_a_step_a_rate_and_the_time_that_is_left() -> None:
    row = {"step": 87, "total_steps": 600, "progress": TRAINING}
    assert (step_of(row), left_of(row)) == ("87/600", "51 s")
    job = a_job(progress=TRAINING, attempt=an_attempt(total_steps=600))
    assert progress_sentence(job, None) == "step 87 of 600 (14%), 10 steps/s, 51 s left"


def test_a_row_without_a_step_or_a_total_says_less() -> None:
    assert step_of({"step": 31, "total_steps": None}) == "step 31"
    assert step_of({"step": None, "total_steps": 600}) == "-"


def test_the_queue_and_pauses_are_told_apart_from_the_run_time() -> None:
    job = a_job(attempt=an_attempt(), ran_seconds=42.0)
    assert ran_seconds(job) == 42.0
    spent = {"waiting_seconds": 300.0, "paused_seconds": 61.0}
    assert time_sentence(job, spent) == "ran 42.0 s, queued 5 min 00 s, paused 1 min 01 s"


def test_stages_count_from_the_placement_of_their_own_attempt() -> None:
    """Given a second attempt that was placed 100 s after the submission, then no stage has these 100 s."""
    attempt = an_attempt(stages={"launched": 101.0, "first_step": 103.0})
    assert stage_times(a_job(attempt=attempt)) == [("launched", 1.0), ("first_step", 2.0)]
