"""Server-sent events, and pages of what they carry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.requests import Request

from headway.server.services.streams import Cursor, Item

_PAGE_CHARACTERS = 4 << 20
"""Of a page of log lines, with what goes with each; what the last report has beyond it is in the page, too."""
_LINE_CHARACTERS = 200
"""What a line takes in a page beside its text."""
STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
"""What the API's document says of streams."""


def wants_stream(request: Request) -> bool:
    """Whether the client asked for server-sent events."""
    return "text/event-stream" in request.headers.get("accept", "")


def start_cursor(request: Request, cursor: str | None) -> Cursor:
    """Where to begin: after `Last-Event-ID` when a client reconnects, else at `cursor`, else at the beginning."""
    return Cursor.decode(request.headers.get("last-event-id") or cursor)


def stream_of(frames: AsyncIterator[str]) -> StreamingResponse:
    """Frames of server-sent events as an answer that nothing on the way keeps back."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(frames, media_type="text/event-stream", headers=headers)


def event_stream(items: AsyncIterator[Item | None]) -> StreamingResponse:
    """Server-sent events: each has its cursor as id, so that a reconnect goes on exactly behind it."""

    async def send() -> AsyncIterator[str]:
        yield ": connected\n\n"
        async for item in items:
            yield ": still here\n\n" if item is None else _format(item)

    return stream_of(send())


def _format(item: Item) -> str:
    from pydantic_core import to_json

    return f"id: {item.cursor}\nevent: {item.kind}\ndata: {to_json(item.data, inf_nan_mode='strings').decode()}\n\n"


async def read_page(
    request: Request, items: AsyncIterator[Item], cursor: Cursor, maximum_items: int
) -> tuple[list[Item], str]:
    """Up to `maximum_items` items, and the cursor behind them, which moves along as they are read.

    A page of log lines ends earlier once it is large, and the reading of any page when its client has left.
    """
    page: list[Item] = []
    size = 0
    async for item in items:
        page.append(item)
        size += sum(_LINE_CHARACTERS + len(line["text"]) for line in item.data.get("lines", ()))
        if len(page) >= maximum_items or size >= _PAGE_CHARACTERS or await request.is_disconnected():
            return page, item.cursor
    return page, cursor.encode()
