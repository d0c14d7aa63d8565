"""Limits of requests, and who is served while many clients read."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from uvicorn.server import ServerState

from headway.core.json_value import check_json
from headway.database.base import reading
from headway.errors import Overloaded, Unavailable
from headway.server import watchers
from headway.server.access import Caller, CallerKind
from headway.server.api import bodies
from headway.server.api.bodies import MAXIMUM_BODY_BYTES
from headway.server.http_protocol import MAXIMUM_HEAD_BYTES, BoundedHttp
from headway.server.main import _config
from tests.api.conftest import PROJECT, SCRIPT, USER, Api
from tests.until import until

pytestmark = pytest.mark.anyio

SECRET_PATHS = ("/api/v1/jobs", "/api/v1/no/such/route", "/api/v1/blocks/" + "0" * 64)


async def chunks_that_must_not_be_read() -> AsyncIterator[bytes]:
    raise AssertionError("The body was read.")
    yield b""


@pytest.mark.parametrize("path", SECRET_PATHS)
async def test_the_caller_is_known_before_a_body_is_read(api: Api, path: str) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for token in ("", "Bearer forged"):
            response = await api.http.request(
                method, path, content=chunks_that_must_not_be_read(), headers={"Authorization": token}
            )
            assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize("path", ["/api/v1/jobs/plan", "/api/v1/jobs/x"])
async def test_a_body_above_its_limit_is_refused_by_name(api: Api, path: str) -> None:
    limit = 4 << 20 if path.endswith("plan") else MAXIMUM_BODY_BYTES

    async def chunks(size_bytes: int) -> AsyncIterator[bytes]:
        for _ in range(size_bytes >> 16):
            yield b" " * (1 << 16)

    stated = {"Content-Length": str(limit + 1)}
    for content, headers in ((chunks_that_must_not_be_read(), stated), (chunks(2 * limit), {})):
        response = await api.http.request(
            "PATCH" if path.endswith("x") else "POST", path, content=content, headers=headers
        )
        assert response.status_code == 413, response.text
        assert response.json()["code"] == "too_large"
        assert f"larger than the {limit:,} bytes allowed" in response.json()["detail"]
    assert api.server.counters.answers == {413: 2}
    response = await api.http.post(path, content=chunks(limit), headers={"Content-Type": "application/json"})
    assert response.status_code in (404, 405, 422)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/api/v1/no/such/route", 404), ("POST", "/api/v1/damaged", 405)]
)
async def test_a_body_that_no_route_takes_is_not_read(api: Api, method: str, path: str, status: int) -> None:
    response = await api.http.request(method, path, content=chunks_that_must_not_be_read())
    assert response.status_code == status


async def test_a_body_from_a_caller_without_access_is_not_read(api: Api) -> None:
    """Given a known caller whose kind is never allowed the action, then 403 comes before its body is read."""
    join = api.headers(Caller(CallerKind.JOIN))
    for method, path in (("POST", "/api/v1/jobs"), ("PUT", f"/api/v1/blocks/{'0' * 64}")):
        response = await api.http.request(method, path, content=chunks_that_must_not_be_read(), headers=join)
        assert (response.status_code, response.json()["code"]) == (403, "not_allowed")


async def test_two_hundred_megabytes_without_a_token_are_answered_at_once(api: Api) -> None:
    async with api.listening() as port:
        for token, status in ((b"", b"401"), (b"Authorization: Bearer nobody\r\n", b"401")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n" + token + b"Content-Length: 200000000\r\n\r\n{"
            )
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n")
            assert status in head
            writer.transport.abort()


async def test_a_client_that_disconnects_while_it_sends_is_not_a_defect(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    token = api.http.headers["authorization"].encode()
    stored = api.server.backends.objects
    async with api.listening() as port:
        for path in (b"POST /api/v1/jobs", b"PUT /api/v1/blocks/" + b"0" * 64):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                path + b" HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + token + b"\r\nContent-Length: 99\r\n\r\n{"
            )
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.transport.abort()
        await asyncio.sleep(0.1)
    assert [one async for one in stored.list("blocks/")] == []
    assert "defect" not in caplog.text


async def test_a_request_after_a_large_body_is_answered(api: Api) -> None:
    """Given a body of 300 KiB and the start of the next request in one piece, the piece does not count as a head."""
    token = api.http.headers["authorization"].encode()
    head = b"Host: localhost\r\nAuthorization: " + token + b"\r\n"
    body = b" " * (300 << 10)
    first = b"PUT /api/v1/blocks/" + b"0" * 64 + b" HTTP/1.1\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(body)
    config = _config(api.server)
    config.load()
    protocol = BoundedHttp(config, ServerState(), {})
    transport = Transport()
    protocol.connection_made(transport)
    protocol.data_received(first)
    protocol.data_received(body + b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: cl")
    protocol.data_received(b"ose\r\n\r\n")
    await until(transport.is_closing)
    statuses = re.findall(rb"HTTP/1.1 (\d+) ", bytes(transport.sent))
    assert statuses == [b"422", b"200"], bytes(transport.sent)


class Transport(asyncio.Transport):
    """A transport that keeps the written bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self._closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def close(self) -> None:
        self._closed = True

    def is_closing(self) -> bool:
        return self._closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def test_headers_without_end_are_refused(api: Api) -> None:
    async with api.listening() as port:
        for start in (b"GET /", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"GET / HTTP/1.1\r\nHost: x\r\n"):
            piece = b"a: b\r\n" * 1000 if start.endswith(b"\n") else b"a" * 6000
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(start)
            sent = 0
            while sent <= MAXIMUM_HEAD_BYTES:
                writer.write(piece)
                sent += len(piece)
            async with asyncio.timeout(5):
                assert b" 431 " in await reader.readuntil(b"\r\n")
            writer.transport.abort()


LONG = {
    "arguments": ({"arguments": ["x" * 70_000]}, "arguments: number 0 has 70,000 bytes; 65,536 are allowed"),
    "variables": ({"variables": {"A": "é" * 40_000}}, "env: A has 80,000 bytes; 65,536 are allowed"),
    "parameters": ({"parameters": {"a": "x" * 70_000}}, "parameters: a has 70,000 bytes"),
    "all words": ({"arguments": ["x" * 60_000] * 9}, "Arguments, variables and parameters have 540,000 bytes together"),
    "a name": ({"variables": {"A" * 300: ""}}, "env has 300 characters"),
    "outputs": ({"outputs": ["x" * 2000]}, "outputs has 2,000 characters"),
    "notes": ({"notes": "x" * 10_001}, "notes"),
    "labels": ({"labels": {f"a{number}": "b" for number in range(65)}}, "labels"),
    "data": ({"data": "x" * 300}, "dataset has 300 characters"),
    "a pattern": ({"metrics": {"x": f"({'a?' * 20_000})"}}, "metrics: the pattern of x has 40,002 characters"),
    "a large pattern": ({"metrics": {"x": r"(((\pL{10}){10}){2})"}}, "pattern too large"),
    "patterns": (
        {"metrics": {f"x{number}": f"({'a?' * 490})" for number in range(60)}},
        "The metric patterns compile to",
    ),
}


@pytest.mark.parametrize("name", LONG)
async def test_a_spec_that_holds_too_much_names_the_field(api: Api, name: str) -> None:
    changes, words = LONG[name]
    for path in ("/api/v1/jobs", "/api/v1/jobs/plan"):
        response = await api.http.post(path, json={**SCRIPT, **changes})
        assert response.status_code == 422, response.text
        assert words in response.json()["detail"]
    assert (await api.http.get("/api/v1/jobs")).json()["jobs"] == []


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/api/v1/jobs", {"label": ["a=b"] * 65}),
        ("/api/v1/jobs", {"status": ["queued"] * 21}),
        ("/api/v1/jobs", {"limit": 501}),
        ("/api/v1/jobs", {"cursor": "x" * 201}),
        ("/api/v1/jobs/mine/metrics", {"name": ["loss"] * 501}),
    ],
)
async def test_a_query_that_asks_for_too_much_is_refused(api: Api, path: str, params: dict[str, Any]) -> None:
    await api.submit(name="mine")
    response = await api.http.get(path, params=params)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_input")


async def test_a_read_that_finds_no_connection_is_answered_503_and_writes_continue(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given users' reads that hold all connections for reads, submissions, claims and heartbeats are still served."""
    worker = await api.worker()
    database: Any = api.server.backends.database
    engine = database._engines["main", "user read"]
    monkeypatch.setattr(engine.pool, "_timeout", 0.05)
    held = [await engine.connect() for _ in range(3)]
    try:
        response = await api.http.get("/api/v1/jobs")
        assert (response.status_code, response.json()["code"]) == (503, "overloaded")
        assert response.headers["retry-after"] == "1"
        assert response.json()["retryable"]
        assert api.server.counters.answers == {503: 1}
        job = await api.submit(name="mine")
        assert (await worker.heartbeat(0)).status_code == 200
        while (await worker.claim(job["id"])).status_code != 200:
            await asyncio.sleep(0.01)
    finally:
        for connection in held:
            await connection.close()
    assert (await api.http.get("/api/v1/jobs")).status_code == 200


async def test_a_write_after_a_read_on_one_connection_counts_as_a_write(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a client that sends the next request before it has the previous answer."""
    await api.submit(name="first")
    found, original = [], api.server.job_control.cancel

    async def cancel(*arguments: Any, **options: Any) -> Any:
        found.append(reading.get())
        return await original(*arguments, **options)

    monkeypatch.setattr(api.server.job_control, "cancel", cancel)
    token = api.http.headers["authorization"]
    head = f"Host: localhost\r\nAuthorization: {token}\r\n"
    async with api.listening() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET /api/v1/jobs HTTP/1.1\r\n{head}\r\n"
            f"POST /api/v1/jobs/first/cancel HTTP/1.1\r\n{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        assert (await reader.read()).count(b"HTTP/1.1 200 OK") == 2
        writer.close()
    assert found == [False]


async def test_a_large_body_is_read_beside_the_event_loop(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def noted(value: Any) -> None:
        threads.append(threading.current_thread())
        check_json(value)

    monkeypatch.setattr(bodies, "check_json", noted)
    await api.submit(notes="x")
    response = await api.http.post("/api/v1/jobs", json={**SCRIPT, "arguments": ["x"] * 100_000})
    assert response.status_code == 422
    assert [thread is threading.main_thread() for thread in threads] == [True, False]


async def test_more_streams_than_allowed_are_answered_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.submit(name="mine")
    monkeypatch.setattr(watchers, "MAXIMUM_FOLLOWERS", 0)
    for path in ("/api/v1/jobs/mine/follow", "/api/v1/events"):
        response = await api.http.get(path)
        assert (response.status_code, response.json()["code"]) == (503, "overloaded"), path


async def test_streams_leave_half_of_the_open_files_to_everything_else(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a process that may open only a few files, when streams use half of them, then more streams get 503."""
    await api.submit(name="mine")
    monkeypatch.setattr("resource.getrlimit", lambda _: (1, 1))
    response = await api.http.get("/api/v1/jobs/mine/follow")
    assert (response.status_code, response.json()["code"]) == (503, "overloaded")


@pytest.mark.parametrize("error", [Overloaded("busy"), Unavailable("away")])
async def test_a_follower_waits_for_the_database_and_skips_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: Unavailable
) -> None:
    from headway.server.services import following
    from headway.server.services.cursor import Cursor

    monkeypatch.setattr(following, "_UNAVAILABLE_SECONDS", 0.0)
    job = await api.submit(name="mine")
    await api.http.post("/api/v1/jobs/mine/cancel")
    original = api.server.backends.database.events
    refusals = iter(range(3))

    async def events(*arguments: Any) -> Any:
        if next(refusals, None) is not None:
            raise error
        return await original(*arguments)

    monkeypatch.setattr(api.server.backends.database, "events", events)
    followed = await api.server.following.follow(USER, PROJECT, job["id"], Cursor(), {"events"})
    frames = [json.loads(frame.body) async for batch in followed if batch is not None for frame in batch.frames]
    numbers = [frame["number"] for frame in frames if frame["kind"] == "event"]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 2


STREAMS = 320


@pytest.mark.timed
async def test_submissions_do_not_wait_for_hundreds_of_streams(api: Api) -> None:
    """Given 320 streams on 40 jobs that keep changing, no stream breaks, and submissions are answered meanwhile."""
    jobs = [(await api.submit())["id"] for _ in range(40)]
    token = api.http.headers["authorization"]
    served: set[int] = set()

    async def follow(number: int, port: int) -> None:
        while not await followed(number, port):  # it was overloaded, and said to try again in a second
            await asyncio.sleep(1)

    async def followed(number: int, port: int) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        path = f"/api/v1/jobs/{jobs[number % len(jobs)]}/follow"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n".encode())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 503 " in head.partition(b"\r\n")[0] and b"retry-after: 1" in head.lower():
                return False
            assert b" 200 " in head.partition(b"\r\n")[0], head
            while line := await reader.readline():
                if b"job.cancelled" in line:
                    served.add(number)
            return True
        finally:
            writer.transport.abort()

    async with (
        api.listening() as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=api.http.headers, timeout=60) as http,
    ):
        following = [asyncio.create_task(follow(number, port)) for number in range(STREAMS)]
        waits = []
        for number, job in enumerate(jobs):
            assert (await http.post(f"/api/v1/jobs/{job}/cancel")).status_code == 200
            if number % 4 == 0:
                begun = time.monotonic()
                assert (await http.post("/api/v1/jobs", json=SCRIPT)).status_code == 201
                waits.append(time.monotonic() - begun)
        await asyncio.gather(*following)
    assert served == set(range(STREAMS))
    assert sorted(waits)[len(waits) // 2] < 2.0
    assert not reading.get()
