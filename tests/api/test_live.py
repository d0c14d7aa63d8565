"""The live channel: the same frames over server-sent events and a WebSocket, each subscription with its cursor."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from headway.core.account import User
from headway.core.facts import RankStarted
from headway.server import http_protocol
from headway.server.access import Caller, CallerKind
from headway.server.api.live import _begun, _frames
from headway.server.api.live_frames import live_channel_schema
from headway.server.directory import changed
from headway.server.server import Server
from headway.settings import Settings
from tests.api.conftest import PROJECT, USER, Api, opened
from tests.until import until

pytestmark = pytest.mark.anyio
SCHEMA = jsonschema_rs.validator_for(live_channel_schema())
TRANSPORTS = ["sse", "websocket"]


@dataclass
class Channel:
    """A client of one channel over either transport. `cursors`: by subscription, where it would continue."""

    api: Api
    port: int
    transport: str
    cursors: dict[str, str] = field(default_factory=dict)
    id: str = ""

    @asynccontextmanager
    async def open(self, *topics: dict[str, Any]) -> AsyncIterator[Channel]:
        token = {"Authorization": self.api.http.headers["authorization"]}
        self.frames = self._read()
        if self.transport == "websocket":
            async with connect(f"ws://127.0.0.1:{self.port}/api/v1/live", additional_headers=token) as self.socket:
                self.id = (await self.next("welcome"))["channel"]
                for topic in topics:
                    await self.send({"action": "subscribe", "to": topic})
                yield self
            return
        query = {"subscribe": [json.dumps(topic) for topic in topics]}
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}/api/v1", headers=token, timeout=30) as self.http,
            self.http.stream("GET", "/live", params=query) as self.answer,
        ):
            self.id = (await self.next("welcome"))["channel"]
            yield self

    async def _read(self) -> AsyncIterator[str]:
        if self.transport == "websocket":
            while True:
                yield str(await self.socket.recv())
        async for line in self.answer.aiter_lines():
            if line:
                yield line.removeprefix("data: ")

    async def send(self, action: dict[str, Any]) -> None:
        if self.transport == "websocket":
            await self.socket.send(json.dumps(action))
        else:
            await self.http.post(f"/live/{self.id}", json=action)

    async def next(self, *kinds: str) -> dict[str, Any]:
        """The next frame of one of these kinds; others are left out."""
        async with asyncio.timeout(30):
            return await self._next(kinds)

    async def _next(self, kinds: tuple[str, ...]) -> dict[str, Any]:
        while True:
            frame: dict[str, Any] = json.loads(await anext(self.frames))
            SCHEMA.validate(frame)
            if frame.get("cursor"):
                self.cursors[frame["subscription"]] = frame["cursor"]
            if not kinds or frame["kind"] in kinds:
                return frame


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_one_channel_has_all_that_a_page_needs(api: Api, transport: str) -> None:
    worker = await api.worker(slots=1)
    async with api.listening() as port:
        async with Channel(api, port, transport).open({"topic": "jobs"}, {"topic": "queue"}) as channel:
            await channel.next("ready")
            job = (await api.submit(name="mine"))["id"]
            assert (await channel.next("job"))["job"]["name"] == "mine"
            await channel.send({"action": "subscribe", "to": {"topic": "workers"}})
            assert (await channel.next("worker"))["worker"]["slots"] == 1
            await channel.send({"action": "subscribe", "to": {"topic": "job", "job": "mine", "include": ["logs"]}})
            await channel.next("subscribed")
            await worker.claim(job)
            await api.server.recorder.record([worker.a_report(job, RankStarted(rank=0, pid=1), lines=("hello",))])
            report = await channel.next("report")
            assert (report["subscription"], report["lines"][0]["text"]) == ("job:mine", "hello")

            second = (await api.submit(name="second"))["id"]
            third = (await api.submit(name="third"))["id"]
            while (await channel.next("queue"))["positions"] != {second: 1, third: 2}:
                pass
            await api.http.post("/api/v1/jobs/second/cancel")
            assert (await channel.next("queue"))["positions"] == {third: 1}

            await channel.send({"action": "ping"})
            await channel.next("pong")
            await channel.send({"action": "unsubscribe", "id": "jobs"})
            assert (await channel.next("unsubscribed"))["subscription"] == "jobs"
            await channel.send({"action": "unsubscribe", "id": "queue"})
            await channel.next("unsubscribed")
            await worker.run_to_the_end(job)
            assert (await channel.next("end"))["subscription"] == "job:mine"
            assert (await channel.next("closed", "job"))["subscription"] == "job:mine"
        await until(lambda: not api.server.live._open)
    assert (api.server.watchers._count, api.server.polling._shared, api.server.following._live) == (0, {}, {})


async def test_what_cannot_be_subscribed_is_refused_and_the_channel_goes_on(api: Api) -> None:
    async with api.listening() as port, Channel(api, port, "websocket").open() as channel:
        for text, status in (
            ("nonsense", 422),
            ('{"action": "subscribe", "to": {"topic": "job", "job": "nothing"}}', 404),
            ('{"action": "subscribe", "to": {"topic": "jobs", "cursor": "broken"}}', 422),
            ('{"action": "subscribe", "to": {"topic": "all"}}', 422),
            ('{"action": "unsubscribe", "id": "nothing"}', 404),
            ('{"action": "ping", "x": "' + "x" * 200_000 + '"}', 422),
        ):
            await channel.socket.send(text)
            assert (await channel.next("refused"))["problem"]["status"] == status, text[:80]
        for _ in range(2):
            await channel.send({"action": "subscribe", "to": {"topic": "queue"}})
        assert (await channel.next("refused"))["problem"]["code"] == "conflict"
    topics = {"topic": "job", "job": "nothing"}, {"topic": "queue"}
    async with api.listening() as port, Channel(api, port, "sse").open(*topics) as channel:
        assert (await channel.next("refused"))["subscription"] == "job:nothing"
        await channel.next("queue")


async def test_a_handshake_needs_a_token_and_our_origin_and_ends_with_the_token(api: Api) -> None:
    """Given a WebSocket, then it is refused before it is accepted, and closed when its token is revoked."""
    async with api.listening() as port:
        url, token = f"ws://127.0.0.1:{port}/api/v1/live", api.http.headers["authorization"]
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer x"}, 401),
            ({"Authorization": token, "Origin": "http://evil.example"}, 403),
            ({"Authorization": api.headers(USER)["Authorization"] + "x"}, 401),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, additional_headers=headers)
            assert refused.value.response.status_code == status
        ann = User(id="ann", uid="u-ann", created_at=1.0, admin=True)
        await api.server.directory.put(ann)
        async with connect(url, additional_headers=api.headers(Caller(CallerKind.USER, user="u-ann"))) as socket:
            await socket.recv()
            await api.server.directory.put(changed(ann, disabled=True))
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(socket.recv(), 10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_nothing_is_missing_or_doubled_over_lost_connections_and_another_server(
    tmp_path: Path, transport: str
) -> None:
    """Given a client that loses its connection repeatedly, and a server that restarts meanwhile."""
    settings = Settings(home=tmp_path / "home", lease_seconds=1e6)
    cursors: dict[str, str] = {}
    seen: list[str] = []
    choose = random.Random(1)

    async def read(api: Api, through: int) -> None:
        async with api.listening() as port:
            while len(seen) < through:
                topic = {"topic": "job", "job": "mine", "include": ["logs"], "cursor": cursors.get("job:mine")}
                async with Channel(api, port, transport, cursors).open(topic) as channel:
                    for _ in range(choose.randint(1, 4)):
                        if len(seen) < through:
                            seen.extend(line["text"] for line in (await channel.next("report"))["lines"])

    async with opened(Server(settings)) as api:
        job, worker = await api.placed(name="mine")
        await worker.claim(job)
        await api.server.recorder.record([worker.a_report(job, RankStarted(rank=0, pid=1))])
        reading = asyncio.create_task(read(api, 20))
        for number in range(20):
            await api.server.recorder.record([worker.a_report(job, lines=(f"line {number}",))])
            await asyncio.sleep(0.02)
        await reading
    async with opened(Server(settings)) as api:
        worker.api = api
        await api.server.recorder.record([worker.a_report(job, lines=(f"line {number}",)) for number in range(20, 30)])
        await read(api, 30)
    assert seen == [f"line {number}" for number in range(30)]


async def test_metrics_come_with_the_cursor_from_which_to_follow(api: Api) -> None:
    """Given points that were read at once, then who follows from their cursor gets all later ones, and no other."""
    job, worker = await api.placed(name="mine")
    await worker.claim(job)
    await api.server.recorder.record([worker.a_report(job, RankStarted(rank=0, pid=1), points=5)])
    early = worker.a_report(job, points=7)
    await api.server.recorder.record([worker.a_report(job, points=9)])  # after a gap: it is not served yet
    found = (await api.http.get("/api/v1/jobs/mine/metrics")).json()
    assert [one["count"] for one in found["series"]] == [5]
    await api.server.recorder.record([early])
    topic = {"topic": "job", "job": "mine", "include": ["metrics"], "cursor": found["cursor"]}
    async with api.listening() as port, Channel(api, port, "websocket").open(topic) as channel:
        counts = [len((await channel.next("report"))["series"][0]["steps"]) for _ in range(2)]
        assert counts == [7, 9]
        await worker.run_to_the_end(job)
        await channel.next("end")
    ended = (await api.http.get("/api/v1/jobs/mine/metrics")).json()
    assert [one["count"] for one in ended["series"]] == [21]


async def test_a_reader_that_stalls_is_cut_and_continues(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "_STALLED_SECONDS", 0.3)
    job, worker = await api.placed(name="mine")
    await worker.claim(job)
    await api.server.recorder.record([worker.a_report(job, RankStarted(rank=0, pid=1))])
    topic = {"topic": "job", "job": "mine", "include": ["logs"]}
    async with api.listening() as port:
        stalled = Channel(api, port, "websocket")
        headers = {"Authorization": api.http.headers["authorization"]}
        stalled.frames = stalled._read()
        async with connect(
            f"ws://127.0.0.1:{port}/api/v1/live", additional_headers=headers, max_queue=1, max_size=1 << 24
        ) as stalled.socket:
            await stalled.next("welcome")
            await stalled.send({"action": "subscribe", "to": topic})
            await stalled.next("subscribed")
            for number in range(120):
                await api.server.recorder.record([worker.a_report(job, lines=(f"{number} " + "x" * 60_000,))])
            await until(lambda: not api.server.live._open)
        assert api.server.watchers._count == 0
        async with Channel(api, port, "websocket").open({**topic, "cursor": stalled.cursors.get("job:mine")}) as again:
            again.socket.protocol.max_message_size = 1 << 24
            lines: list[str] = []
            while len(lines) < 120:
                lines += [line["text"].split()[0] for line in (await again.next("report"))["lines"]]
    assert lines == [str(number) for number in range(120)]


async def test_a_thousand_readers_that_vanish_at_once_leave_nothing(api: Api) -> None:
    await api.submit(name="mine")
    opened_streams = []
    for _ in range(1000):
        channel = api.server.live.new(USER, PROJECT)
        stream = _frames(api.server, channel, await _begun(api.server, channel, ['{"topic": "queue"}']))
        await anext(stream)
        opened_streams.append(stream)
    assert len(api.server.live._open) == 1000
    await asyncio.gather(*(stream.aclose() for stream in opened_streams))
    assert (api.server.live._open, api.server.watchers._count, api.server.polling._shared) == ({}, 0, {})


@pytest.mark.timed
async def test_a_server_with_a_thousand_open_streams_stops_within_two_seconds(api: Api) -> None:
    token = api.http.headers["authorization"]
    query = "subscribe=%7B%22topic%22%3A%22queue%22%7D"
    head = f"GET /api/v1/live?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode()
    turns = asyncio.Semaphore(50)

    async def reader(port: int) -> asyncio.StreamWriter:
        async with turns:
            read, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            await asyncio.wait_for(read.readuntil(b'"kind":"queue"'), 60)
            return writer

    async with api.listening() as port:
        writers = await asyncio.gather(*(reader(port) for _ in range(1000)))
        began = asyncio.get_running_loop().time()
        api.server.watchers.close()
    assert asyncio.get_running_loop().time() - began < 2.0
    assert api.server.watchers._count == 0
    for writer in writers:
        writer.transport.abort()
