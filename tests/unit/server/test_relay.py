"""Events go to every sink, even if others fail. A job keeps its events until all sinks have them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headway.core import transitions
from headway.core.job import Job
from headway.core.status import JobStatus
from headway.errors import Unavailable
from headway.server.relay import Relay
from headway.server.sinks import feed
from headway.server.sinks.base import EventSink, NewEvents
from headway.server.sinks.rows import RowSink
from headway.settings import Settings
from tests.unit.server.still_server import StillServer

pytestmark = pytest.mark.anyio
CANCELLED = ["job.submitted", "job.cancel_requested", "job.cancelled"]


class Gate(EventSink):
    """A second sink, which can be closed."""

    name = "gate"

    def __init__(self) -> None:
        self.open = True
        self.given: list[int] = []
        self.types: list[str] = []

    async def take(self, new: Sequence[NewEvents]) -> None:
        if not self.open:
            raise Unavailable("the gate is closed")
        self.given += [event.number for one in new for event in one.events]
        self.types += [event.type for one in new for event in one.events]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_RETRY_SECONDS", 0.01)


@asynccontextmanager
async def opened(home: Path, gate: Gate) -> AsyncIterator[StillServer]:
    """A server whose relay runs, with a second sink after the rows."""
    server = StillServer(Settings(home=home))
    await server.backends.open_stores()
    sinks = [RowSink(server.backends.database), gate]
    server.relay = Relay(server.jobs, server.backends.wakeups, server.watchers, server.counters, sinks)
    server.jobs.on_change = (server.relay.job_changed,)
    server.jobs.on_delete = (server.relay.job_deleted,)
    await server.jobs.open()
    relaying = asyncio.create_task(server.relay.run())
    yield server
    assert not relaying.done()
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
    await server.backends.close()


async def rows(server: StillServer, job: Job, count: int) -> list[str]:
    """The types of the stored events, once there are `count`."""
    async with asyncio.timeout(10):
        while len(found := await server.backends.database.events(job.id, 0, 100)) < count:
            await asyncio.sleep(0.01)
    return [event.type for event in found]


async def test_a_job_forgets_events_once_every_sink_has_them(tmp_path: Path) -> None:
    """Given a sink that is down, then rows are still written, and the job keeps its events for that sink."""
    gate = Gate()
    gate.open = False
    async with opened(tmp_path, gate) as server:
        job = await server.a_job()
        assert await rows(server, job, 1) == ["job.submitted"]
        await asyncio.sleep(0.1)
        job = await server.jobs.update(job.id, lambda job: transitions.cancel(job, server.clock.now()))
        assert await rows(server, job, 3) == CANCELLED
        kept = await server.backends.database.job(job.id)
        assert kept.status is JobStatus.CANCELLED
        assert [event.number for event in kept.events] == [1, 2, 3]
        gate.open = True
        async with asyncio.timeout(10):
            while (await server.backends.database.job(job.id)).events:
                await asyncio.sleep(0.01)
        assert server.jobs.unsettled.find(job.id) is None
    assert gate.given == [1, 2, 3]


async def test_a_sink_gets_missed_events_after_a_restart(tmp_path: Path) -> None:
    """Given a server that ends while a sink is down, then the next server gives it all events, and each row exists
    once.
    """
    gate = Gate()
    gate.open = False
    async with opened(tmp_path, gate) as server:
        job = await server.a_job()
        await rows(server, job, 1)
        await server.jobs.update(job.id, lambda job: transitions.cancel(job, server.clock.now()))
        await rows(server, job, 3)
    gate.open = True
    async with opened(tmp_path, gate) as server:
        async with asyncio.timeout(10):
            while (await server.backends.database.job(job.id)).events:
                await asyncio.sleep(0.01)
        assert await rows(server, job, 3) == CANCELLED
    assert gate.types == CANCELLED


async def test_a_deleted_job_leaves_no_rows_behind(tmp_path: Path) -> None:
    """Given a sink that still waits for events of a job, when the job is deleted, then nothing of it is delivered."""
    gate = Gate()
    async with opened(tmp_path, gate) as server:
        job = await server.a_job()
        await rows(server, job, 1)
        gate.open = False
        job = await server.jobs.update(job.id, lambda job: transitions.cancel(job, server.clock.now()))
        await rows(server, job, 3)
        await server.jobs.delete(job)
        gate.open = True
        await asyncio.sleep(0.1)
        assert await server.backends.database.events(job.id, 0, 100) == []
    assert gate.given == [1]
