"""Priority, then age; a gang whole or not at all."""

from __future__ import annotations

import pytest

from headway.core import transitions
from headway.core.job import Job, JobSpec
from headway.core.placement import Share, explain_waiting, place_gang, place_queue, used_slots
from headway.core.worker import Worker, WorkerState


def worker(name: str, slots: int, state: WorkerState = WorkerState.READY) -> Worker:
    return Worker(id=name, name=name, slots=slots, threads_per_slot=1, host="h", port=1, registered_at=0, state=state)


def job(name: str, world_size: int) -> Job:
    spec = JobSpec(script="s.py", source="", world_size=world_size)
    return Job(id=name, name=name, idempotency_key=name, body_hash="h", spec=spec, created_at=0)


@pytest.mark.parametrize(
    ("world_size", "free", "shares"),
    [
        (2, {"a": 4, "b": 2}, [("b", 0, 2)]),  # one worker, and the one it leaves the smallest gap on
        (4, {"a": 4, "b": 2}, [("a", 0, 4)]),
        (5, {"a": 4, "b": 2}, [("a", 0, 4), ("b", 4, 1)]),  # as few workers as possible
        (6, {"a": 4, "b": 2}, [("a", 0, 4), ("b", 4, 2)]),
        (7, {"a": 4, "b": 2}, None),
        (1, {"a": 0, "b": 0}, None),
    ],
)
def test_gangs(world_size: int, free: dict[str, int], shares: list[tuple[str, int, int]] | None) -> None:
    placed = place_gang(world_size, [worker("a", 4), worker("b", 2)], free)
    wanted = None if shares is None else [Share(name, name, first, count) for name, first, count in shares]
    assert placed == wanted


def test_a_large_gang_at_the_front_is_not_starved_by_small_ones_behind_it() -> None:
    queue = [job("large", 4), job("small", 1)]
    assert place_queue(queue, [worker("a", 4)], {"a": 1}) == []


def test_a_gang_larger_than_the_fleet_does_not_block_the_others() -> None:
    queue = [job("huge", 9), job("small", 1)]
    assert [one.name for one, _ in place_queue(queue, [worker("a", 4)], {})] == ["small"]


def test_lost_workers_get_nothing() -> None:
    assert place_queue([job("one", 1)], [worker("a", 4, WorkerState.LOST)], {}) == []


def test_slots_are_never_given_twice() -> None:
    queue = [job("one", 2), job("two", 2), job("three", 2)]
    placed = place_queue(queue, [worker("a", 4)], {})
    assert [one.name for one, _ in placed] == ["one", "two"]


def test_used_slots_are_derived_from_assignments() -> None:
    placed = transitions.place(job("one", 3), [Share("a", "a", 0, 2), Share("b", "b", 2, 1)], 0)
    assert used_slots([placed]) == {"a": 2, "b": 1}
    assert used_slots([transitions.cancel(placed, 0)]) == {}


@pytest.mark.parametrize(
    ("workers", "used", "words"),
    [
        ([], {}, "none is connected. Start one with `headway worker"),
        ([worker("a", 2)], {}, "4 are needed and all workers together have 2"),
        ([worker("a", 8)], {"a": 6}, "4 are needed, 2 of 8 are free. It is next."),
    ],
)
def test_waiting_is_explained(workers: list[Worker], used: dict[str, int], words: str) -> None:
    waiting = job("large", 4)
    assert words in explain_waiting(waiting, [waiting], workers, used)


def test_waiting_behind_others_is_explained() -> None:
    ahead, waiting = job("ahead", 2), job("waiting", 1)
    said = explain_waiting(waiting, [ahead, waiting], [worker("a", 2)], {"a": 2})
    assert said == "Waiting for its turn: 1 job is ahead; 0 of 2 slots are free."
