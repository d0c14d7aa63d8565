"""With every broker, only an unreadable report is put aside: reports that came with it count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgpack
import pytest

from headway.backend_registry import backend
from headway.brokers.base import Broker
from headway.brokers.embedded import EmbeddedBroker
from headway.core import transitions
from headway.core.facts import Fact, RankStarted, StageReached
from headway.core.job import Job, JobSpec
from headway.core.placement import Share
from headway.core.protocol import AssignmentKey
from headway.database.sqlite import SqliteDatabase
from headway.formats.reports import Report, encode_report
from headway.server import recorder as recording
from headway.server.clock import Clock
from headway.server.counters import ServerCounters
from headway.server.recorder import Recorder
from headway.server.services.curves import Curves
from headway.server.services.jobs import Jobs
from headway.server.watchers import Watchers
from tests.services import broker_url

pytestmark = pytest.mark.anyio
KEY = AssignmentKey(job="j-1", attempt=1, worker="w-1")


@asynccontextmanager
async def opened_broker(kind: str) -> AsyncIterator[tuple[Broker, Callable[[bytes], Awaitable[None]]]]:
    """A broker, and a function by which a worker sends a report."""
    if kind == "embedded":
        embedded = EmbeddedBroker()
        yield embedded, embedded.receive_report
        return
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(broker_url(kind))
        broker, worker = backend("broker", url)(url), backend("worker_broker", url)(url, "w-1")
        for one in (broker, worker):
            await one.open()
            stack.push_async_callback(one.close)
        yield broker, lambda body: worker.publish_report(body, "j-1")


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Jobs]:
    database = SqliteDatabase(f"sqlite://{tmp_path / 'headway.db'}")
    await database.open()
    jobs = Jobs(database, Clock())
    spec = JobSpec(script="s.py", source="1")
    await database.insert_job(
        Job(id="j-1", project="default", name="one", idempotency_key="k", body_hash="h", spec=spec, created_at=1.0)
    )
    await jobs.update("j-1", lambda job: transitions.place(job, [Share("w-1", "one", 0, 1)], 0.0))
    yield jobs
    await database.close()


def a_recorder(jobs: Jobs, broker: Broker) -> Recorder:
    database = jobs._database
    return Recorder(
        database=database, jobs=jobs, broker=broker, opened=lambda body: body, watchers=Watchers(),
        curves=Curves(database, jobs), clock=Clock(), counters=ServerCounters(database.damage), catch_up_seconds=1.0,
    )  # fmt: skip


def a_report(number: int, *facts: Fact) -> Report:
    return Report(KEY.job, 1, KEY.worker, number, number, facts=facts)


async def until_committed(recorder: Recorder, number: int) -> None:
    async with asyncio.timeout(30):
        while await recorder.committed(KEY) != number:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", ["embedded", "rabbitmq", "kafka"])
async def test_a_report_of_other_types_is_put_aside_alone(kind: str, jobs: Jobs) -> None:
    async with opened_broker(kind) as (broker, send):
        recorder = a_recorder(jobs, broker)
        good = msgpack.unpackb(encode_report(a_report(2)))
        await send(encode_report(a_report(1, RankStarted(rank=0, pid=1))))
        for field, value in ((1, 5), (2, "1"), (3, ["w-1"]), (4, None), (6, [{"type": "x"}]), (7, "text"), (9, 1)):
            await send(msgpack.packb([*good[:field], value, *good[field + 1 :]]))
        await send(msgpack.packb({"a": 1}))
        await send(encode_report(a_report(2, StageReached(stage="first_step", at=1.0))))
        running = asyncio.create_task(recorder.run())
        try:
            await until_committed(recorder, 2)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert recorder._counters.corrupt_reports == 8
        assert recorder.unreadable(KEY) == (), "the report came complete in the end"
        attempt = (await jobs.by_id("j-1")).attempt
        assert attempt is not None
        assert attempt.stages == {"first_step": 1.0}


@pytest.mark.parametrize("kind", ["embedded", "rabbitmq", "kafka"])
async def test_its_worker_is_told_of_a_report_that_cannot_be_read(kind: str, jobs: Jobs) -> None:
    """Given an unreadable report that later ones wait for, then its worker is told its number and can replace it."""
    async with opened_broker(kind) as (broker, send):
        recorder = a_recorder(jobs, broker)
        assert await recorder.committed(KEY) == 0
        bad = msgpack.unpackb(encode_report(a_report(2)))
        bad[6] = [{"type": "of a newer version"}]
        running = asyncio.create_task(recorder.run())
        try:
            await send(encode_report(a_report(1)))
            await send(msgpack.packb(bad))
            await send(encode_report(a_report(3, StageReached(stage="trained", at=1.0))))
            await until_committed(recorder, 1)
            async with asyncio.timeout(30):
                while recorder.unreadable(KEY) != (2,):
                    await asyncio.sleep(0.02)
            await send(encode_report(a_report(2)))
            await until_committed(recorder, 3)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert recorder.unreadable(KEY) == ()


async def test_facts_on_which_the_server_fails_are_left_out_alone(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    apply_facts = recording.apply_facts

    def failing(job: Job, number: int, reports: list[recording.ReportedFacts], now: float) -> Job:
        if any(isinstance(fact, RankStarted) for one in reports for fact in one.facts):
            raise ZeroDivisionError
        return apply_facts(job, number, reports, now)

    monkeypatch.setattr(recording, "apply_facts", failing)
    recorder = a_recorder(jobs, EmbeddedBroker())
    facts = (StageReached(stage="launched", at=1.0), RankStarted(rank=0, pid=1), StageReached(stage="trained", at=2.0))
    await recorder.record([a_report(number, fact) for number, fact in enumerate(facts, 1)])
    assert await recorder.committed(KEY) == 3
    assert recorder._counters.corrupt_reports == 1
    attempt = (await jobs.by_id("j-1")).attempt
    assert attempt is not None
    assert attempt.stages == {"launched": 1.0, "trained": 2.0}
