"""A sink gets each event until it has taken it, and never again after that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from headway.core.job import Event, Job, JobSpec
from headway.database.damage import Damage
from headway.errors import Unavailable
from headway.server.counters import ServerCounters
from headway.server.sinks import feed
from headway.server.sinks.base import EventSink, NewEvents
from headway.server.sinks.feed import SinkFeed

pytestmark = pytest.mark.anyio


class Memory(EventSink):
    """A sink that keeps events, or fails if told to."""

    name = "memory"

    def __init__(self) -> None:
        self.given: list[tuple[str, int]] = []
        self.failures: list[Exception] = []
        self.poison: str | None = None
        self.tries = 0

    async def take(self, new: Sequence[NewEvents]) -> None:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        if self.poison in [one.job.id for one in new]:
            raise ZeroDivisionError
        self.given += [(one.job.id, event.number) for one in new for event in one.events]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_RETRY_SECONDS", 0.0)
    monkeypatch.setattr(feed, "_GATHER_SECONDS", 0.0)


def a_job(job_id: str, *numbers: int) -> Job:
    """A job that keeps events with these numbers."""
    events = tuple(Event(number=number, type="job.warned", at=1.0) for number in numbers)
    spec = JobSpec(script="s.py", source="")
    fields = {"project": "p", "idempotency_key": job_id, "body_hash": "", "spec": spec, "created_at": 1.0}
    return Job(id=job_id, name=job_id, events=events, event_count=max(numbers, default=0), **fields)


class Told:
    """The jobs that the feed reported as taken."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, int]] = []
        self.failures: list[Exception] = []

    async def __call__(self, job: Job) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.jobs.append((job.id, job.event_count))

    async def until(self, *jobs: tuple[str, int]) -> None:
        async with asyncio.timeout(10):
            while not set(jobs) <= set(self.jobs):
                await asyncio.sleep(0)


@asynccontextmanager
async def running(found: SinkFeed) -> AsyncIterator[None]:
    task = asyncio.create_task(found.run())
    yield
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_each_event_is_given_once(caplog: pytest.LogCaptureFixture) -> None:
    sink, told = Memory(), Told()
    one = SinkFeed(sink, told, ServerCounters(Damage()))
    async with running(one):
        one.offer(a_job("j-1", 1, 2))
        await told.until(("j-1", 2))
        one.offer(a_job("j-1", 1, 2, 3))  # the job still keeps the events that this sink took
        one.offer(a_job("j-2"))  # nothing new, such as a change with wake-ups only
        await told.until(("j-1", 3), ("j-2", 0))
    assert sink.given == [("j-1", 1), ("j-1", 2), ("j-1", 3)]
    assert one.cursor("j-1") == 3
    assert caplog.text == ""


async def test_events_that_a_sink_could_not_take_are_given_again(caplog: pytest.LogCaptureFixture) -> None:
    """Given a sink that is down for a while, then it gets all events in order, and the outage is logged once."""
    sink, told = Memory(), Told()
    sink.failures = [Unavailable("away") for _ in range(5)]
    counters = ServerCounters(Damage())
    one = SinkFeed(sink, told, counters)
    caplog.set_level(logging.INFO)
    async with running(one):
        one.offer(a_job("j-1", 1))
        while len(sink.failures) > 2:
            await asyncio.sleep(0)
        one.offer(a_job("j-1", 1, 2))  # a newer version replaces the waiting one
        await told.until(("j-1", 2))
        while "takes events again" not in caplog.text:
            await asyncio.sleep(0)
    assert sink.given == [("j-1", 1), ("j-1", 2)]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert counters.failed_deliveries == 5
    assert "Sink memory does not take events; it is tried again: away" in caplog.text


async def test_a_job_that_a_sink_cannot_take_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """Given a defect of the sink with one job, then the others overtake it, and that one is tried until it is taken."""
    sink, told = Memory(), Told()
    sink.poison = "j-2"
    one = SinkFeed(sink, told, ServerCounters(Damage()))
    async with running(one):
        for number in (1, 2, 3):
            one.offer(a_job(f"j-{number}", 1))
        await told.until(("j-1", 1), ("j-3", 1))
        tries = sink.tries
        while sink.tries < tries + 3:
            await asyncio.sleep(0)
        assert ("j-2", 1) not in told.jobs
        sink.poison = None
        await told.until(("j-2", 1))
    assert sorted(sink.given) == [("j-1", 1), ("j-2", 1), ("j-3", 1)]
    assert caplog.text.count("A defect of sink memory: it does not take events of job j-2") == 1
    assert "ZeroDivisionError" in caplog.text


async def test_a_failed_notice_about_a_taken_job_is_repeated() -> None:
    sink, told = Memory(), Told()
    told.failures = [Unavailable("the database is away")]
    one = SinkFeed(sink, told, ServerCounters(Damage()))
    async with running(one):
        one.offer(a_job("j-1", 1))
        await told.until(("j-1", 1))
    assert sink.given == [("j-1", 1)]


async def test_a_deleted_job_is_not_given_any_more() -> None:
    sink, told = Memory(), Told()
    one = SinkFeed(sink, told, ServerCounters(Damage()))
    one.offer(a_job("j-1", 1))
    one.forget("j-1")
    one.offer(a_job("j-2", 1))
    async with running(one):
        await told.until(("j-2", 1))
    assert sink.given == [("j-2", 1)]
