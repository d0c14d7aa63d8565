"""Followers of a job: each gets all of it once, whatever others do, and many cost the server little."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from headway.core.facts import RankEnded, RankStarted, Released
from headway.server.server import Server
from headway.server.services import following, live_job
from headway.server.services.cursor import Cursor
from headway.settings import Settings
from tests.api.conftest import PROJECT, USER, Api, SpokenWorker, opened
from tests.api.test_jobs import eventually
from tests.api.test_streams import started_job
from tests.until import until

pytestmark = pytest.mark.anyio
REPORTS = 30


@dataclass
class Follower:
    """Reads a job's stream; after a lost connection it continues after the last frame that it got."""

    api: Api
    job: str
    cursor: str = ""
    frames: list[dict[str, Any]] = field(default_factory=list)

    async def read(self, *, lose_after: int | None = None, pause_seconds: float = 0.0) -> bool:
        """Read until the end, or lose the connection after so many batches. Whether the end was reached."""
        stream = await self.api.server.following.follow(
            USER, PROJECT, self.job, Cursor.decode(self.cursor), {"events", "logs", "metrics"}
        )
        batches = 0
        async for batch in stream:
            for frame in batch.frames if batch is not None else ():
                self.frames.append(json.loads(frame.body))
                self.cursor = frame.cursor
                if frame.kind == "end":
                    return True
            batches += 1
            if batches == lose_after:
                await stream.aclose()
                return False
            await asyncio.sleep(pause_seconds)
        return False

    def check(self) -> None:
        """Every line and event is there once, in order."""
        lines = [line["text"] for frame in self.frames if frame["kind"] == "report" for line in frame["lines"]]
        assert lines == [f"line {number}" for number in range(REPORTS)]
        events = [frame["number"] for frame in self.frames if frame["kind"] == "event"]
        assert events == list(range(1, len(events) + 1))
        assert self.frames[-1]["kind"] == "end"


async def report_all(api: Api, worker: SpokenWorker, job: str) -> None:
    await api.server.recorder.record([worker.a_report(job, RankStarted(rank=0, pid=1))])
    for number in range(REPORTS):
        await api.server.recorder.record([worker.a_report(job, lines=(f"line {number}",), points=3)])
        await asyncio.sleep(0.02)
    await worker.run_to_the_end(job)


async def test_nothing_is_missing_or_doubled_whatever_happens_to_a_follower(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given followers that stay, lose their connection again and again, come late, or read slowly."""
    monkeypatch.setattr(following, "_PASS_SECONDS", 0.01)
    monkeypatch.setattr(live_job, "_KEPT_BYTES", 400)  # a few frames
    job, worker = await started_job(api)
    choose = random.Random(1)

    async def stay() -> Follower:
        follower = Follower(api, job)
        assert await follower.read()
        return follower

    async def come_back() -> Follower:
        follower = Follower(api, job)
        while not await follower.read(lose_after=choose.randint(1, 3)):
            await asyncio.sleep(choose.random() / 20)
        return follower

    async def come_late() -> Follower:
        await asyncio.sleep(choose.random())
        return await stay()

    async def lag() -> Follower:
        follower = Follower(api, job)
        assert await follower.read(pause_seconds=0.1)
        return follower

    followers = [asyncio.create_task(kind()) for kind in (stay, come_back, come_late, lag) for _ in range(5)]
    await report_all(api, worker, job)
    for follower in await asyncio.gather(*followers):
        follower.check()
    assert api.server.following._live == {}


async def test_a_cursor_of_a_page_continues_in_a_stream(api: Api) -> None:
    """Given a follower that read a page a moment ago, which others do not have yet, it gets nothing of it again."""
    job, worker = await started_job(api)
    first = asyncio.create_task(Follower(api, job).read())
    await until(lambda: api.server.following._live)
    await api.server.recorder.record([worker.a_report(job, lines=("line 0",))])
    page = (await api.http.get("/api/v1/jobs/mine/logs")).json()
    follower = Follower(api, job, cursor=page["cursor"])
    reading = asyncio.create_task(follower.read())
    (live,) = api.server.following._live[job].values()
    await until(lambda: live.following == 2 and live.position.covers(Cursor.decode(page["cursor"])))
    await worker.run_to_the_end(job)
    await asyncio.gather(first, reading)
    assert not [frame for frame in follower.frames if frame["kind"] == "report" and frame["lines"]]


async def test_the_past_is_told_in_the_order_in_which_it_happened(api: Api) -> None:
    """Given a job with two attempts, when it is followed later, then the end of the first precedes the second."""
    job, worker = await started_job(api)
    killed = RankEnded(rank=0, at=1.0, signal="SIGKILL")
    await api.server.recorder.record(
        [
            worker.a_report(job, RankStarted(rank=0, pid=1), lines=("first",)),
            worker.a_report(job, killed, Released(), last=True),
        ]
    )
    assert (await eventually(api, job, "starting"))["attempt"]["number"] == 2
    assert (await worker.claim(job, attempt=2)).status_code == 200
    worker.numbers = 0
    await api.server.recorder.record([worker.a_report(job, lines=("second",), attempt=2)])
    await api.http.post(f"/api/v1/jobs/{job}/cancel")
    await api.server.recorder.record([worker.a_report(job, Released(), last=True, attempt=2)])
    await eventually(api, job, "cancelled")
    follower = Follower(api, job)
    await follower.read()
    told = [
        frame["type"] if frame["kind"] == "event" else frame.get("lines", [{}])[0].get("text")
        for frame in follower.frames
    ]
    order = ["attempt.placed", "first", "attempt.ended", "attempt.placed", "second", "attempt.ended", "job.cancelled"]
    assert [one for one in told if one in order] == order


async def test_a_report_is_read_once_for_all_who_follow(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job, worker = await started_job(api)
    followers = [Follower(api, job) for _ in range(50)]
    reading = [asyncio.create_task(one.read()) for one in followers]
    streams = api.server.backends.database.streams
    original, reads = streams.reports, 0

    async def counted(*arguments: Any) -> Any:
        nonlocal reads
        reads += 1
        return await original(*arguments)

    await until(lambda: all(one.frames for one in followers))
    monkeypatch.setattr(streams, "reports", counted)
    await report_all(api, worker, job)
    await asyncio.gather(*reading)
    for one in followers:
        one.check()
    assert reads <= 3 * REPORTS


@pytest.mark.timed
async def test_readers_that_vanish_or_stall_leave_nothing_and_harm_no_other(tmp_path: Path) -> None:
    """Given 100 readers that never read and 100 that vanish at once, then another one gets all, and memory returns."""
    patient = Settings(home=tmp_path / "home", lease_seconds=1e6)
    async with opened(Server(patient)) as api:
        await check_stalled_readers(api)


async def check_stalled_readers(api: Api) -> None:
    job, worker = await started_job(api)
    token = api.http.headers["authorization"]
    head = f"GET /api/v1/jobs/{job}/follow HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode()
    text = "x" * 50_000

    async def connect(port: int) -> asyncio.StreamWriter:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(head)
        await reader.readexactly(1)
        return writer

    async with api.listening() as port:
        stalled = [await connect(port) for _ in range(100)]
        vanishing = [await connect(port) for _ in range(100)]
        for _ in range(40):
            await api.server.recorder.record([worker.a_report(job, lines=(text,))])
        for writer in vanishing:
            writer.transport.abort()
        stream = await api.server.following.follow(USER, PROJECT, job, Cursor(), {"logs"})
        lines = 0
        while lines < 40:
            batch = await asyncio.wait_for(anext(stream), 30)
            lines += sum(len(json.loads(frame.body)["lines"]) for frame in batch.frames)
        await stream.aclose()
        (live,) = api.server.following._live[job].values()
        assert live._kept_bytes <= live_job._KEPT_BYTES
        assert live.following == 100
        for writer in stalled:
            writer.transport.abort()
        await until(lambda: not api.server.following._live)
    assert api.server.watchers._count == 0


async def test_a_worker_hears_at_once_that_its_job_is_followed(api: Api) -> None:
    """Given a follower of logs, its worker is woken and hears of it; one of events alone asks for nothing."""
    job, worker = await started_job(api)
    await api.server.recorder.record([worker.a_report(job, RankStarted(rank=0, pid=1))])

    async def is_watched(counter: int) -> bool:
        (assignment,) = (await worker.heartbeat(counter)).json()["assignments"]
        return assignment.get("watched", False)

    async with api.server.backends.embedded.attached(worker.id) as wakeups:
        events = await api.server.following.follow(USER, PROJECT, job, Cursor(), {"events"})
        await anext(events)
        assert not await is_watched(0)
        assert wakeups.empty()
        logs = await api.server.following.follow(USER, PROJECT, job, Cursor(), {"logs"})
        reading = asyncio.create_task(anext(logs))
        wakeup = await asyncio.wait_for(wakeups.get(), 10)
        assert (wakeup.job, wakeup.attempt) == (job, 1)
        assert await is_watched(1)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await events.aclose()
    assert not await is_watched(2)
