"""Clients that do not read their answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from headway.server import http_protocol
from headway.server.http_protocol import BoundedHttp

pytestmark = pytest.mark.anyio


class Transport(asyncio.Transport):
    """A transport with unsent bytes. After `reads` checks the client stops reading."""

    def __init__(self, reads: int) -> None:
        super().__init__()
        self.looks = 0
        self.aborted = asyncio.Event()
        self._reads = reads

    def get_write_buffer_size(self) -> int:
        self.looks += 1
        return 1000 - min(self.looks, self._reads)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def abort(self) -> None:
        self.aborted.set()

    def close(self) -> None: ...


def connected(transport: Transport) -> BoundedHttp:
    config = Config("x:y", log_config=None)
    config.load_app = lambda: None  # type: ignore[method-assign]
    config.load()
    protocol = BoundedHttp(config, ServerState(), {})
    protocol.connection_made(transport)
    return protocol


async def test_a_client_that_has_stopped_reading_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a client that reads slowly and then not at all, then it is disconnected once it stops reading."""
    monkeypatch.setattr(http_protocol, "_STALLED_SECONDS", 0.01)
    transport = Transport(reads=5)
    connected(transport).pause_writing()
    async with asyncio.timeout(10):
        await transport.aborted.wait()
    assert transport.looks == 6


async def test_a_client_that_reads_again_or_disconnects_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "_STALLED_SECONDS", 0.01)
    transport = Transport(reads=0)
    protocol = connected(transport)
    protocol.pause_writing()
    protocol.resume_writing()
    protocol.pause_writing()
    protocol.connection_lost(None)
    await asyncio.sleep(0.1)
    assert not transport.aborted.is_set()
