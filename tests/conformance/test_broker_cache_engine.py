"""What every broker, cache and engine promises."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headway.brokers.embedded import EmbeddedBroker
from headway.caches.base import Cache
from headway.core.job import WakeUp
from headway.core.worker import WorkerDescription, WorkerState
from headway.errors import NotFound
from headway.registry import backend

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory:"])
def cache(request: pytest.FixtureRequest, clock: Clock) -> Cache:
    cache: Cache = backend("cache", request.param)(request.param, 100, clock)
    return cache


async def test_a_cache_gives_back_or_has_forgotten(cache: Cache) -> None:
    assert await cache.get("a") is None
    await cache.put("a", b"1")
    await cache.put("a", b"2")
    assert await cache.get("a") == b"2"
    await cache.delete("a")
    await cache.delete("a")
    assert await cache.get("a") is None


async def test_a_cache_expires(cache: Cache, clock: Clock) -> None:
    await cache.put("a", b"1", expire_seconds=5)
    clock.seconds = 4.9
    assert await cache.get("a") == b"1"
    clock.seconds = 5
    assert await cache.get("a") is None


async def test_a_cache_stays_within_its_bound(cache: Cache) -> None:
    for key in "abc":
        await cache.put(key, bytes(40))
    assert await cache.get("a") is None
    await cache.get("b")
    await cache.put("d", bytes(40))  # what was used least recently goes
    assert await cache.get("c") is None
    assert await cache.get("b") is not None
    await cache.put("huge", bytes(101))
    assert await cache.get("huge") is None
    assert await cache.get("b") is not None


async def test_wakeups_reach_the_worker_that_is_attached() -> None:
    broker = EmbeddedBroker("embedded:")
    wakeup = WakeUp(worker="w", job="j", attempt=1)
    await broker.publish_wakeup(wakeup)  # nobody is there: it may be lost, heartbeats carry the same
    async with broker.attached("w") as first, broker.attached("w") as second:
        await broker.publish_wakeup(wakeup)
        assert second.get_nowait() == wakeup
        assert first.empty()  # the newer connection has taken over


async def test_reports_come_in_order_with_their_position() -> None:
    broker = EmbeddedBroker("embedded:")
    for body in (b"1", b"2", b"3"):
        await broker.receive_report(body)
    assert await broker.position() == 3
    assert await broker.reports(2) == ([b"1", b"2"], 2)
    assert await broker.reports(2) == ([b"3"], 3)
    waiting = asyncio.create_task(broker.reports(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    await broker.receive_report(b"4")
    assert await waiting == ([b"4"], 4)


async def test_an_engine_keeps_workers_until_they_are_lost(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'headway.db'}"
    database = backend("database", url)(url)
    await database.open()
    description = WorkerDescription(name="one", slots=2, threads_per_slot=1, host="127.0.0.1", port=1)
    engine = backend("engine", "fleet:")("fleet:", database)
    await engine.open()
    await engine.register("w-1", description, None, 1.0)
    await engine.register("w-2", description.model_copy(update={"name": "a"}), "w-1", 2.0)
    assert [worker.id for worker in engine.workers()] == ["w-2", "w-1"]
    assert await engine.lose("w-1", "it left", 3.0)
    assert not await engine.lose("w-1", "again", 4.0)
    with pytest.raises(NotFound):
        await engine.lose("w-3", "x", 5.0)
    restarted = backend("engine", "fleet:")("fleet:", database)
    await restarted.open()
    assert [worker.id for worker in restarted.workers()] == ["w-2"]
    assert restarted.worker("w-1").state is WorkerState.LOST
    assert restarted.worker("w-1").lost_because == "it left"
    await database.close()
