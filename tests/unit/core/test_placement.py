"""Priority, then age; a gang whole or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from headway.core import transitions
from headway.core.job import Job, JobSpec
from headway.core.left_files import LeftFiles, file_list
from headway.core.placement import Fleet, Gang, Shape, Share, gang_of, place_queue, used_slots
from headway.core.status import JobStatus
from headway.core.waiting import Waiting, waiting
from headway.core.worker import Worker, WorkerState


def worker(name: str, slots: int, state: WorkerState = WorkerState.READY) -> Worker:
    return Worker(id=name, name=name, slots=slots, threads_per_slot=1, host="h", port=1, registered_at=0, state=state)


def placed_on(worker: str, name: str, ranks: int) -> Job:
    return transitions.place(job(name, ranks), [Share(worker, worker, 0, ranks)], 0)


def job(name: str, world_size: int, **fields: object) -> Job:
    spec = JobSpec(script="s.py", source="", world_size=world_size, **fields)
    return Job(id=name, project="default", name=name, idempotency_key=name, body_hash="h", spec=spec, created_at=0)


def placed_queue(queue: list[Job], *arguments: Any) -> list[tuple[Gang, list[Share]]]:
    return place_queue(list(map(gang_of, queue)), *arguments)


def why(job: Job, queue: list[Job], *arguments: Any) -> Waiting:
    return waiting(job, list(map(gang_of, queue)), *arguments)


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
    fleet = Fleet([worker("a", 4), worker("b", 2)], {"a": 4 - free["a"], "b": 2 - free["b"]})
    placed = fleet.shares(Shape(world_size, None, None, None, ()))
    wanted = None if shares is None else [Share(name, name, first, count) for name, first, count in shares]
    assert placed == wanted


def test_a_job_goes_back_to_the_worker_that_has_its_files_if_that_has_room() -> None:
    """Given files that its last attempt left on one worker, the job is placed there rather than on the fullest."""
    files = LeftFiles(attempt=1, changed=file_list([("snapshot.pt", 1)]))
    left = placed_on("a", "left", 2).model_copy(update={"status": JobStatus.QUEUED, "left_files": {"a": files}})
    workers = [worker("a", 4), worker("b", 2)]
    assert placed_queue([left], workers, {}) == [(gang_of(left), [Share("a", "a", 0, 2)])]
    assert placed_queue([left], workers, {"a": 3}) == [(gang_of(left), [Share("b", "b", 0, 2)])]


def test_a_large_gang_at_the_front_is_not_starved_by_small_ones_behind_it() -> None:
    queue = [job("large", 4), job("small", 1)]
    assert placed_queue(queue, [worker("a", 4)], {"a": 1}) == []


def test_a_gang_larger_than_the_fleet_does_not_block_the_others() -> None:
    queue = [job("huge", 9), job("small", 1)]
    assert [one.name for one, _ in placed_queue(queue, [worker("a", 4)], {})] == ["small"]


def test_lost_workers_get_nothing() -> None:
    assert placed_queue([job("one", 1)], [worker("a", 4, WorkerState.LOST)], {}) == []


def test_slots_are_never_given_twice() -> None:
    queue = [job("one", 2), job("two", 2), job("three", 2)]
    placed = placed_queue(queue, [worker("a", 4)], {})
    assert [one.name for one, _ in placed] == ["one", "two"]


def test_used_slots_are_derived_from_assignments() -> None:
    placed = transitions.place(job("one", 3), [Share("a", "a", 0, 2), Share("b", "b", 2, 1)], 0)
    assert used_slots([placed]) == {"a": 2, "b": 1}
    assert used_slots([transitions.cancel(placed, 0)]) == {}


@pytest.mark.parametrize(
    ("workers", "used", "words"),
    [
        ([], [], "No worker is connected. Start one with `headway worker"),
        ([worker("a", 2)], [], "Needs 4 slots; all workers together have 2"),
        ([worker("a", 8)], [("big", 5), ("small", 1)],
         "Needs 4 slots; 2 of 8 are free. Next in queue. In use by big (5), small (1)."),
        ([worker("a", 8).model_copy(update={"draining": True})], [], "All workers are drained"),
    ],
)  # fmt: skip
def test_waiting_is_explained(workers: list[Worker], used: list[tuple[str, int]], words: str) -> None:
    large = job("large", 4)
    live = [placed_on("a", name, ranks) for name, ranks in used]
    said = why(large, [large], workers, live)
    assert words in said.sentence
    assert not said.about_to_be_placed


def test_a_job_that_waits_for_nothing_is_about_to_be_placed() -> None:
    one = job("one", 2)
    assert why(one, [one], [worker("a", 2)], []).about_to_be_placed


def test_waiting_behind_others_is_explained() -> None:
    ahead, waits = job("ahead", 2), job("waits", 1)
    live = [placed_on("a", "runs", 2)]
    said = why(waits, [ahead, waits], [worker("a", 2)], live)
    assert (said.position, said.ahead, said.holders) == (2, ("ahead",), {"runs": 2})
    assert said.sentence == "Needs 1 slot; 0 of 2 are free. Position 2 in queue, after ahead. In use by runs (2)."


def test_the_wait_is_estimated_by_how_far_the_jobs_before_it_are() -> None:
    """Given one job that needs 90 s more and one that says nothing, then it starts when the first has ended."""
    told, silent = placed_on("a", "told", 2), placed_on("a", "silent", 2)
    waits, behind = job("waits", 2), job("behind", 2)
    queue, workers, live = [waits, behind], [worker("a", 4)], [told, silent]
    assert why(waits, queue, workers, live, {told.id: 90.0}).estimated_seconds == 90.0
    assert "Starts in about 90 s." in why(waits, queue, workers, live, {told.id: 90.0}).sentence
    assert why(waits, queue, workers, live, {}).estimated_seconds is None
    assert why(behind, queue, workers, live, {told.id: 90.0}).estimated_seconds is None, "the first takes the room"
    assert why(behind, queue, workers, live, {told.id: 90.0, silent.id: 7300.0}).estimated_seconds == 7300.0
    assert "about 2 hours" in why(behind, queue, workers, live, {told.id: 90.0, silent.id: 7300.0}).sentence


def test_labels_choose_workers() -> None:
    labelled = worker("b", 2).model_copy(update={"labels": {"gpu": "a100", "site": "x"}})
    wants = job("wants", 1, where={"gpu": "a100"})
    ((_, shares),) = placed_queue([wants], [worker("a", 8), labelled], {})
    assert [share.worker for share in shares] == ["b"]
    other = job("other", 1, where={"gpu": "h200"})
    assert placed_queue([other], [worker("a", 8), labelled], {}) == []
    assert why(other, [other], [worker("a", 8), labelled], []).sentence.startswith("No connected worker has gpu=h200.")


def test_a_job_that_waits_for_some_workers_holds_back_no_others() -> None:
    labelled = worker("b", 2).model_copy(update={"labels": {"gpu": "a100"}})
    queue = [job("waits", 2, where={"gpu": "a100"}), job("behind", 1), job("small", 1, where={"gpu": "a100"})]
    placed = placed_queue(queue, [worker("a", 2), labelled], {"b": 1})
    assert [(one.name, shares[0].worker) for one, shares in placed] == [("behind", "a")]


@pytest.mark.parametrize(
    ("shape", "free", "shares"),
    [
        ({"ranks_per_worker": 2}, {"a": 4, "b": 2, "c": 3}, [("b", 0, 2), ("c", 2, 2)]),
        ({"ranks_per_worker": 2}, {"a": 4, "b": 1, "c": 1}, None),
        ({"workers": 3}, {"a": 4, "b": 1, "c": 1}, [("a", 0, 2), ("b", 2, 1), ("c", 3, 1)]),
        ({"workers": 2}, {"a": 4, "b": 1, "c": 1}, None),
    ],
)
def test_shapes_of_gangs(
    shape: dict[str, int], free: dict[str, int], shares: list[tuple[str, int, int]] | None
) -> None:
    fleet = Fleet([worker(name, 4) for name in "abc"], {name: 4 - count for name, count in free.items()})
    placed = fleet.shares(Shape(4, None, shape.get("ranks_per_worker"), shape.get("workers"), ()))
    assert placed == (None if shares is None else [Share(name, name, first, count) for name, first, count in shares])


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"ranks_per_worker": 3}, "does not divide world_size 4"),
        ({"workers": 5}, "more than the 4 ranks"),
        ({"workers": 2, "ranks_per_worker": 4}, "2 workers with 4 ranks each are not the 4"),
    ],
)
def test_shapes_that_cannot_be_are_refused(shape: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        job("odd", 4, **shape)


def test_a_job_that_has_waited_takes_fewer_ranks_if_it_allows_it() -> None:
    elastic = job("elastic", 4, minimum_world_size=2)
    workers = [worker("a", 2), worker("b", 1)]
    assert placed_queue([elastic], workers, {}) == []
    ((_, shares),) = placed_queue([elastic], workers, {}, {"elastic"})
    assert sum(share.rank_count for share in shares) == 3
    assert placed_queue([elastic], workers, {"a": 2}, {"elastic"}) == []
    rigid = job("rigid", 4)
    assert placed_queue([rigid], workers, {}, {"rigid"}) == []


def test_a_range_of_ranks_is_a_number_and_a_minimum() -> None:
    spec = JobSpec.model_validate({"command": ["true"], "world_size": {"min": 2, "max": 8}})
    assert (spec.world_size, spec.minimum_world_size) == (8, 2)
    for size in ({"min": 2}, {"min": 3, "max": 2}, {"min": 1, "max": 2, "step": 1}):
        with pytest.raises(ValueError, match="world_size"):
            JobSpec.model_validate({"command": ["true"], "world_size": size})
