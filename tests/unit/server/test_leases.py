"""Leases on a clock that the test sets."""

from __future__ import annotations

import contextlib

import pytest

from headway.errors import Unavailable
from headway.server.leases import Leases
from tests.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def pass_time(leases: Leases, clock: FakeClock, seconds: float) -> list[str]:
    """Let time pass in ticks, as the scheduler does. Returns the workers that are silent at the end."""
    silent: list[str] = []
    for _ in range(round(seconds * 2)):
        clock.seconds += 0.5
        silent = leases.silent()
    return silent


def test_a_worker_is_silent_after_a_lease_without_newer_answers(clock: FakeClock) -> None:
    leases = Leases(clock, lease_seconds=10)
    leases.watch("w")
    leases.heartbeat("w", 0, frozenset())
    assert pass_time(leases, clock, 10) == []
    assert pass_time(leases, clock, 1) == ["w"]


def test_heartbeats_without_answers_count_as_silence(clock: FakeClock) -> None:
    """Given a network that lets requests through but no answers."""
    leases = Leases(clock, lease_seconds=10)
    leases.watch("w")
    for _ in range(11):
        leases.heartbeat("w", 3, frozenset())
        silent = pass_time(leases, clock, 1)
    assert silent == ["w"]


def test_delayed_heartbeats_do_not_count_twice(clock: FakeClock) -> None:
    leases = Leases(clock, lease_seconds=10)
    leases.watch("w")
    leases.heartbeat("w", 5, frozenset())
    pass_time(leases, clock, 8)
    leases.heartbeat("w", 4, frozenset())  # an older one, late
    assert pass_time(leases, clock, 3) == ["w"]


def test_a_heartbeat_that_the_server_cannot_answer_does_not_count_as_silence(clock: FakeClock) -> None:
    """Given a server without its database, workers get no answers to acknowledge, so they do not count as silent."""
    leases = Leases(clock, lease_seconds=10)
    leases.watch("w")
    with leases.answering("w"):
        assert pass_time(leases, clock, 12) == [], "it is being answered"
    assert pass_time(leases, clock, 9) == [], "the answer came late"
    with contextlib.suppress(Unavailable), leases.answering("w"):
        raise Unavailable("The database does not answer.")
    assert pass_time(leases, clock, 9) == []
    with leases.answering("w"):
        pass
    assert pass_time(leases, clock, 2) == ["w"], "after a prompt answer, the worker has to acknowledge it"


def test_the_newest_heartbeat_says_what_is_being_prepared(clock: FakeClock) -> None:
    leases = Leases(clock, lease_seconds=10)
    leases.watch("w")
    leases.heartbeat("w", 0, frozenset({("j", 1)}))
    assert leases.prepares("w", "j", 1)
    leases.heartbeat("w", 1, frozenset())
    assert not leases.prepares("w", "j", 1)
