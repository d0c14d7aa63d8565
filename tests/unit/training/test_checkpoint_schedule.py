"""When several ranks agree to save or to stop, with a fake clock and a fake network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from types import SimpleNamespace

import pytest

from headway.rank_protocol.save_policy import SavePolicy
from headway.training import checkpoint_schedule
from headway.training.checkpoint_schedule import CheckpointSchedule
from tests.fake_clock import FakeClock

ASK_SECONDS = 0.0002
"""Seconds of a gloo all-reduce between two processes on one machine."""

STEPS: dict[str, Callable[[int], float]] = {
    "of 0.2 s": lambda step: 0.2,
    "of 20 ms": lambda step: 0.02,
    "of 1 ms": lambda step: 0.001,
    "of 50 us": lambda step: 0.00005,
    "that grow a hundredfold at once": lambda step: 0.002 if step < 300 else 0.2,
    "that grow slowly": lambda step: 0.0005 * 1.02 ** min(step, 300),
    "that shrink": lambda step: max(0.0005, 0.2 * 0.98**step),
    "of which the first compiles": lambda step: 30.0 if step == 1 else 0.01,
    "of which every tenth is slow": lambda step: 0.3 if step % 10 == 0 else 0.001,
}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()

    def ask(*values: int) -> tuple[int, ...]:
        clock.seconds += ASK_SECONDS
        return values

    monkeypatch.setattr(checkpoint_schedule, "time", SimpleNamespace(monotonic=clock.monotonic))
    monkeypatch.setattr(checkpoint_schedule, "_joined", lambda: True)
    monkeypatch.setattr(checkpoint_schedule, "_greatest", ask)
    return clock


def steps(clock: FakeClock, seconds: Callable[[int], float], until: float, first: int = 1) -> Iterator[int]:
    """Steps of given durations, until the clock reaches `until`."""
    step = first
    while clock.seconds < until:
        clock.seconds += seconds(step)
        yield step
        step += 1


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("asked_at", [0.0, 0.55, 0.61, 1.3, 31.0])
def test_a_stop_is_agreed_on_within_half_a_second_of_being_asked(clock: FakeClock, kind: str, asked_at: float) -> None:
    """Given steps of any duration, when a rank is asked to stop, then all ranks know after the current step or soon
    after.
    """
    schedule = CheckpointSchedule(SavePolicy(), 2, lambda: clock.seconds >= asked_at)
    longest = STEPS[kind](1)
    for step in steps(clock, STEPS[kind], asked_at + 60):
        schedule.due(step)
        longest = STEPS[kind](step)
        if schedule.stop:
            break
    assert schedule.stop
    assert clock.seconds - asked_at <= 0.5 + longest


@pytest.mark.parametrize("kind", STEPS)
def test_agreeing_costs_a_small_share_of_the_time(clock: FakeClock, kind: str) -> None:
    schedule = CheckpointSchedule(SavePolicy(), 2, lambda: False)
    worked = sum(STEPS[kind](step) for step in steps(clock, STEPS[kind], 35.0) if not schedule.due(step))
    assert clock.seconds - worked <= 0.06 * worked


def test_seconds_between_checkpoints_are_kept_by_slow_steps(clock: FakeClock) -> None:
    schedule = CheckpointSchedule(SavePolicy(every_seconds=2.0), 2, lambda: False)
    saved = [clock.seconds for step in steps(clock, lambda _: 0.2, 21.0) if schedule.due(step)]
    assert [round(later - earlier, 1) for earlier, later in pairwise(saved)] == [2.0] * 9


def test_ranks_agree_when_steps_restart_with_each_epoch(clock: FakeClock) -> None:
    asked: list[bool] = []
    schedule = CheckpointSchedule(SavePolicy(), 2, lambda: bool(asked))
    for step in steps(clock, lambda _: 0.001, 0.99):
        schedule.due(step)
    asked.append(True)
    for step in steps(clock, lambda _: 0.001, 1.1):
        schedule.due(step)
    assert schedule.stop
