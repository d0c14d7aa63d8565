"""uvicorn's HTTP protocol with a bound on what comes before a body, for the parser has none."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAXIMUM_HEAD_BYTES = 128 << 10
"""Of a request's line and headers; a cursor in a URL may have some kilobytes."""
_ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/problem+json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s"
)
_PROBLEM = (
    b'{"type":"urn:headway:problem:too_large","title":"Too large","status":431,"code":"too_large","retryable":false,'
    b'"detail":"The URL and headers of a request may have %d bytes together."}' % MAXIMUM_HEAD_BYTES
)


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request begins with too much."""

    _head_bytes: int | None = None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._head_bytes = None
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_bytes is None or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAXIMUM_HEAD_BYTES:
            self.transport.write(_ANSWER % (len(_PROBLEM), _PROBLEM))
            self.transport.close()
