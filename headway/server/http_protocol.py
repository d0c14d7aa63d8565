"""uvicorn's protocols with additions: limits for the head of a request and for slow readers, and a clean end of refused
handshakes."""

from __future__ import annotations

import asyncio

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAXIMUM_HEAD_BYTES = 128 << 10
"""The largest request line with headers; a cursor in a URL may have several kilobytes."""
_HEAD_SECONDS = 10.0
"""A client that has not sent a whole head by then, from when it connected or began, is disconnected."""
_STALLED_SECONDS = 60.0
"""A client that reads nothing of its answer for this long is disconnected: the unsent bytes take memory. Our followers
and downloads continue where they were."""
_ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/problem+json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s"
)
_PROBLEM = (
    b'{"type":"urn:headway:problem:too_large","title":"Too large","status":431,"code":"too_large","retryable":false,'
    b'"detail":"The URL and headers of a request may have %d bytes together."}' % MAXIMUM_HEAD_BYTES
)


class _CutsStalled(asyncio.Protocol):
    """Closes a connection whose client has stopped reading."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    _stall: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_again(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._end_looking()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_looking()
        super().connection_lost(exc)

    def _look_again(self, waiting_bytes: int) -> None:
        self._stall = self.loop.call_later(_STALLED_SECONDS, self._look, waiting_bytes)

    def _look(self, waiting_bytes: int) -> None:
        still_waiting_bytes = self.transport.get_write_buffer_size()
        if still_waiting_bytes < waiting_bytes:
            self._look_again(still_waiting_bytes)
        else:
            self.transport.abort()

    def _end_looking(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


class BoundedHttp(_CutsStalled, HttpToolsProtocol):
    """Closes a connection whose request has too large or too slow a head, or whose client has stopped reading.

    `_head_bytes`: received bytes of an incomplete head; None between heads. The parser does not say where in the data a
    head starts. So data that also contains the end of another request, such as the rest of its body, is not counted:
    that is one read of the socket at most.
    """

    _head_bytes: int | None = None
    _request_ended = False
    _late_head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def _expect_head(self) -> None:
        if self._late_head is None:
            self._late_head = self.loop.call_later(_HEAD_SECONDS, self.transport.close)

    def _end_expecting(self) -> None:
        if self._late_head is not None:
            self._late_head.cancel()
            self._late_head = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_expecting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        self._end_expecting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._request_ended = True
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        self._request_ended = False
        super().data_received(data)
        if self._head_bytes is None or self._request_ended or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAXIMUM_HEAD_BYTES:
            if self.cycle is None or self.cycle.response_complete:  # else it would land inside another answer
                self.transport.write(_ANSWER % (len(_PROBLEM), _PROBLEM))
            self.transport.close()


class RefusableWebSocket(_CutsStalled, WebSocketsSansIOProtocol):
    """Treats a handshake that was answered with an HTTP error as complete; uvicorn would log it as a defect."""

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True
