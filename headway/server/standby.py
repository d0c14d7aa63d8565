"""A server that does not lead forwards every connection, byte for byte, to the leader."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

_CHUNK_BYTES = 1 << 16
_CONNECT_SECONDS = 3.0


class Standby:
    """Forwards HTTP, event streams and WebSockets. When the leader dies they break, and the clients reconnect."""

    def __init__(self, listener: socket.socket, leader_url: Callable[[], str | None]) -> None:
        self._listener = listener
        self._leader_url = leader_url
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Forward connections forever."""
        own = self._listener.dup()
        server = await asyncio.start_server(self._accepted, sock=own)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        leader = self._leader_url()
        place = urlsplit(leader) if leader is not None else None
        try:
            if place is None:
                return
            async with asyncio.timeout(_CONNECT_SECONDS):
                far_reader, far_writer = await asyncio.open_connection(place.hostname, place.port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_copy(reader, far_writer))
                    group.create_task(_copy(far_reader, writer))
            finally:
                far_writer.close()
        except (OSError, TimeoutError):
            return
        finally:
            writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while content := await source.read(_CHUNK_BYTES):
            target.write(content)
            await target.drain()
    with suppress(OSError):
        target.close()
