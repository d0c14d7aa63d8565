"""Server-sent events, and pages of the same items."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse
from starlette.requests import Request

from headway.server.services.cursor import Cursor
from headway.server.services.live_job import BATCH_BYTES, Batch
from headway.server.services.streams import Item

_PAGE_CHARACTERS = 4 << 20
"""A page of log lines ends at this size, overhead included, but it holds the last report whole."""
_LINE_CHARACTERS = 200
"""The size of a line in a page beside its text."""


def wants_stream(request: Request) -> bool:
    """Whether the client asked for server-sent events."""
    return "text/event-stream" in request.headers.get("accept", "")


def start_cursor(request: Request, cursor: str | None) -> Cursor:
    """Where to start: after `Last-Event-ID` when a client reconnects, else at `cursor`, else at the beginning."""
    return Cursor.decode(request.headers.get("last-event-id") or cursor)


def stream_of(frames: AsyncIterator[str] | AsyncIterator[bytes]) -> StreamingResponse:
    """Frames of server-sent events as an answer that no proxy buffers."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(frames, media_type="text/event-stream", headers=headers)


def event_stream(batches: AsyncIterator[Batch | None]) -> StreamingResponse:
    """Server-sent events. Each has its cursor as id, so that a client that reconnects continues right after it."""

    async def send() -> AsyncIterator[bytes]:
        yield b": connected\n\n"
        async for batch in batches:
            if batch is None:
                yield b": still here\n\n"
                continue
            for begin in range(0, len(batch.events), BATCH_BYTES):  # a connection that is not read holds one part
                yield batch.events[begin : begin + BATCH_BYTES]

    return stream_of(send())


async def read_page(
    request: Request, items: AsyncIterator[Item], cursor: Cursor, maximum_items: int
) -> tuple[list[Item], str]:
    """Up to `maximum_items` items, and the cursor after them. `cursor` moves while they are read.

    A page of log lines ends earlier if it becomes large. Reading ends when the client has disconnected.
    """
    page: list[Item] = []
    size = 0
    async for item in items:
        page.append(item)
        size += sum(_LINE_CHARACTERS + len(line["text"]) for line in item.data.get("lines", ()))
        if len(page) >= maximum_items or size >= _PAGE_CHARACTERS or await request.is_disconnected():
            return page, item.cursor
    return page, cursor.encode()
