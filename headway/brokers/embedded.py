"""The broker inside the server, reached over the worker's own connection to it: `embedded:`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import websockets.asyncio.client
import websockets.exceptions

from headway.brokers.arrived_reports import ArrivedReports
from headway.brokers.base import Broker, WorkerBroker
from headway.core.job import WakeUp
from headway.errors import HeadwayError, NotAuthenticated, Unavailable, error_from_answer
from headway.formats.reports import MAXIMUM_REPORT_BYTES

_MAXIMUM_QUEUED_REPORTS = 256
_CONNECT_TIMEOUT_SECONDS = 5.0
_REFUSED = 4401
"""The code with which a server of an earlier version closes a connection whose token it refuses."""
_log = logging.getLogger(__name__)


class EmbeddedBroker(Broker):
    """Queues in the server's memory. If the server dies, the workers send the lost reports again from their spools."""

    def __init__(self, url: str = "embedded:") -> None:
        self._arrived = ArrivedReports(_MAXIMUM_QUEUED_REPORTS)
        self._wakeups: dict[str, asyncio.Queue[WakeUp]] = {}
        self._position = 0

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def publish_wakeup(self, wakeup: WakeUp) -> None:
        if wakeup.worker in self._wakeups:
            self._wakeups[wakeup.worker].put_nowait(wakeup)

    async def reports(self, maximum: int) -> tuple[list[bytes], int]:
        return await self._arrived.take(maximum)

    @property
    def taken(self) -> int:
        return self._arrived.taken

    async def position(self) -> int:
        return self._position

    async def dead_letter(self, body: bytes) -> None:
        _log.error("A report of %d bytes cannot be read; it begins with %r.", len(body), body[:64])

    async def receive_report(self, body: bytes) -> None:
        """Take a report from a worker's connection. It waits while the recorder is behind."""
        await self._arrived.put(body)
        self._position += 1

    @asynccontextmanager
    async def attached(self, worker: str) -> AsyncIterator[asyncio.Queue[WakeUp]]:
        """The worker's wake-ups while it is connected. A newer connection takes over."""
        queue: asyncio.Queue[WakeUp] = asyncio.Queue()
        self._wakeups[worker] = queue
        try:
            yield queue
        finally:
            if self._wakeups.get(worker) is queue:
                del self._wakeups[worker]


class EmbeddedWorkerBroker(WorkerBroker):
    """A WebSocket to the server: text frames are wake-ups, binary frames are reports."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token
        self._connection: websockets.asyncio.client.ClientConnection | None = None

    async def open(self) -> None:
        """Connect. Raises Unavailable, or the server's error if it refuses the worker, such as NotAuthenticated."""
        try:
            self._connection = await websockets.asyncio.client.connect(
                self._url,
                additional_headers={"Authorization": f"Bearer {self._token}"},
                open_timeout=_CONNECT_TIMEOUT_SECONDS,
                ping_interval=None,
                compression=None,
                max_size=MAXIMUM_REPORT_BYTES,
                proxy=None,
            )
        except websockets.exceptions.InvalidStatus as refusal:
            raise error_from_answer(refusal.response.status_code, bytes(refusal.response.body or b"")) from refusal
        except (OSError, websockets.exceptions.WebSocketException, TimeoutError) as error:
            raise Unavailable(f"The server's broker at {self._url} cannot be reached: {error}") from error

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def wakeup(self) -> WakeUp:
        try:
            return WakeUp.model_validate_json(await self._connected().recv(), extra="ignore")
        except websockets.exceptions.ConnectionClosed as error:
            raise _closed(error) from error

    async def publish_report(self, body: bytes, job: str) -> None:
        try:
            await self._connected().send(body)
        except websockets.exceptions.ConnectionClosed as error:
            raise _closed(error) from error

    def _connected(self) -> websockets.asyncio.client.ClientConnection:
        if self._connection is None:
            raise Unavailable("The broker is not connected.")
        return self._connection


def _closed(error: websockets.exceptions.ConnectionClosed) -> HeadwayError:
    """Why the server closed the connection."""
    if error.rcvd is not None and error.rcvd.code == _REFUSED:
        return NotAuthenticated(error.rcvd.reason)
    return Unavailable("The server closed the broker's connection.")
