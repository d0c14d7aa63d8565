"""A worker's port shows whether its process runs after its connection has closed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from headway.core.worker import Worker
from headway.server import probe
from headway.server.probe import process_ended

pytestmark = pytest.mark.anyio


def a_worker(port: int) -> Worker:
    return Worker(id="w", name="w", slots=1, threads_per_slot=1, host="127.0.0.1", port=port, registered_at=1.0)


@asynccontextmanager
async def a_port(greet: Callable[[asyncio.StreamWriter], None]) -> AsyncIterator[int]:
    """A port that greets its connections by `greet`."""

    async def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greet(writer)
        writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_port_that_refuses_belongs_to_an_ended_process() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # nothing listens
        assert await process_ended(a_worker(reserved.getsockname()[1]))


async def test_a_port_that_greets_belongs_to_a_live_process() -> None:
    async with a_port(lambda writer: writer.write(b"h")) as port:
        assert not await process_ended(a_worker(port))


async def test_a_dying_process_is_probed_again_until_its_port_refuses() -> None:
    """Given a process that closes its connection before its port, when the port refuses, then it has ended."""
    async with a_port(lambda writer: None) as port:
        asked = asyncio.create_task(process_ended(a_worker(port)))
        await asyncio.sleep(0.05)
        assert not asked.done()
    assert await asked


async def test_a_port_that_does_not_answer_proves_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Given a paused machine, it accepts the connection and sends nothing: the lease decides."""
    monkeypatch.setattr(probe, "_PROBE_TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not await process_ended(a_worker(silent.getsockname()[1]))
    assert "Worker w closed its connection and does not answer" in caplog.text
