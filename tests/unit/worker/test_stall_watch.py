"""When training counts as stalled, on a fake clock."""

from __future__ import annotations

import pytest

from headway.worker.idle_watch import IdleWatch
from headway.worker.stacks import absent_ranks
from headway.worker.stall_watch import StallWatch


def watch(**changes: float | None) -> StallWatch:
    fields = {"limit_seconds": None, "minimum_seconds": 30.0, "startup_seconds": None, "finish_seconds": 100.0}
    return StallWatch(**{**fields, **changes}, now=0.0)


def test_work_that_logs_no_steps_is_not_watched() -> None:
    assert watch().silent_seconds(None, 1e9) is None


def test_a_trainer_has_a_limit_for_its_first_step() -> None:
    one = watch(startup_seconds=60.0)
    assert one.silent_seconds(None, 59.0) is None
    assert one.silent_seconds(None, 61.0) == 61.0


def test_silence_is_too_long_after_the_minimum_and_ten_times_the_longest_step() -> None:
    one = watch()
    assert one.silent_seconds(1, 0.0) is None
    assert one.silent_seconds(1, 31.0) == 31.0
    assert one.silent_seconds(2, 40.0) is None  # this step took 40 s
    assert one.silent_seconds(2, 439.0) is None
    assert one.silent_seconds(2, 441.0) == pytest.approx(401.0)


def test_the_jobs_own_limit_replaces_the_learnt_one_and_zero_means_never() -> None:
    one = watch(limit_seconds=2.0)
    one.silent_seconds(1, 0.0)
    assert one.silent_seconds(1, 2.5) == 2.5
    never = watch(limit_seconds=0.0)
    never.silent_seconds(1, 0.0)
    assert never.silent_seconds(1, 1e9) is None


def test_evaluation_and_saving_have_a_limit_of_their_own() -> None:
    one = watch()
    one.silent_seconds(5, 0.0)
    one.finishes(10.0)
    one.finishes(50.0)  # a second call changes nothing
    assert one.silent_seconds(5, 109.0) is None
    assert one.silent_seconds(5, 111.0) == 101.0


def test_ranks_that_log_no_step_are_idle_when_they_neither_compute_nor_print() -> None:
    one = IdleWatch(60.0, now=0.0)
    assert one.idle_seconds(0, None, 2, 50.0) is None, "their use is not known yet"
    assert one.idle_seconds(10, 0.0, 2, 100.0) is None, "they have printed"
    assert one.idle_seconds(10, 1.0, 2, 150.0) is None, "one computes"
    assert one.idle_seconds(10, 0.03, 2, 210.0) is None
    assert one.idle_seconds(10, 0.03, 2, 211.0) == 61.0
    assert one.idle_seconds(11, 0.03, 2, 212.0) is None


def stack(frame: str) -> str:
    return f'Rank 0 (process 1)\nThread 0x1 (most recent call first):\n  File "x.py"\nCurrent thread 0x2 (most recent call first):\n  {frame}\n'  # noqa: E501


def test_ranks_outside_torch_are_absent_while_others_wait_inside() -> None:
    waits = stack('File "/venv/lib/torch/distributed/distributed_c10d.py", line 1 in all_reduce')
    sleeps = stack('File "/work/train.py", line 8 in main')
    assert absent_ranks({0: waits, 1: sleeps, 2: waits}) == (1,)
    assert absent_ranks({0: waits, 1: waits}) == ()
    assert absent_ranks({0: sleeps, 1: sleeps}) == ()
    assert absent_ranks({0: waits, 1: "no stacks: it is not a Python script"}) == ()
