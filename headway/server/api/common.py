"""What routes share: the server, the caller, and the check that every route makes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Path
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection, Request

from headway.core.attempt import LARGEST_NUMBER
from headway.core.job import Job
from headway.errors import InvalidInput, NotAllowed, NotAuthenticated, NotFound
from headway.server.access import Action, Caller, CallerKind, admit
from headway.server.server import Server
from headway.server.services.streams import Cursor, Item, StreamKind

_PAGE_CHARACTERS = 4 << 20
"""Of a page of log lines, with what goes with each; what the last report has beyond it is in the page, too."""
_LINE_CHARACTERS = 200
"""What a line takes in a page beside its text."""

_bearer = HTTPBearer(
    auto_error=False, description="A token of this installation; `headway up` writes them to its home."
)


def get_server(connection: HTTPConnection) -> Server:
    """The server that this process runs."""
    server: Server = connection.app.state.server
    return server


ServerHere = Annotated[Server, Depends(get_server)]


COOKIE = "headway_token"
"""Holds a user's token in a browser that came by a one-time link."""


def authenticate(server: Server, connection: HTTPConnection) -> Caller:
    """Who asks. Raises NotAuthenticated.

    The cookie is SameSite=Strict; that a changing request also comes from a page of ours is checked here.
    """
    authorization = connection.headers.get("authorization")
    cookie = connection.cookies.get(COOKIE)
    if authorization is None and cookie is not None:
        origin = connection.headers.get("origin")
        if origin is None or urlsplit(origin).netloc == connection.headers.get("host"):
            return server.tokens.read(cookie)
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticated(
            "This needs a token: send it as `Authorization: Bearer TOKEN`. It is in the file user.token of the home."
        )
    return server.tokens.read(token.strip())


def get_caller(connection: HTTPConnection) -> Caller:
    """Who asks, as was settled before the request reached its route."""
    caller: Caller = connection.scope["caller"]
    return caller


CallerHere = Annotated[Caller, Depends(get_caller)]

AttemptNumber = Annotated[int, Path(ge=1, le=LARGEST_NUMBER)]

MAXIMUM_BODY_BYTES = 1 << 20
"""Of a request whose route does not say another limit."""


class Allow:
    """A route's dependency: names the action that the route's service asks for, and refuses who can never do it."""

    def __init__(self, action: Action, *, maximum_body_bytes: int | None = MAXIMUM_BODY_BYTES) -> None:
        """`maximum_body_bytes`: None where the route reads its body as a stream and bounds that itself."""
        self.action = action
        self.maximum_body_bytes = maximum_body_bytes

    async def __call__(
        self,
        request: Request,
        caller: CallerHere,
        _shown_in_docs: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> None:
        if "\0" in request.url.path or b"%00" in request.scope["query_string"]:
            raise InvalidInput("The address has a NUL character (%00). Leave it out.")
        admit(caller, self.action)
        _check_path(caller, request.path_params)


def _check_path(caller: Caller, path: dict[str, str]) -> None:
    """Hold a worker, or a rank, to what its token is bound to."""
    if caller.kind is CallerKind.WORKER and path.get("worker", caller.worker) != caller.worker:
        raise NotFound(f"Worker {path['worker']} does not exist.")
    if caller.kind is CallerKind.RANK and (path.get("job"), _number(path.get("attempt"))) != (
        caller.job,
        caller.attempt,
    ):
        raise NotAllowed(f"This token is for attempt {caller.attempt} of job {caller.job} only.")


def _number(text: str | None) -> int | None:
    """The attempt's number in a path; None if there is none, or one that its route refuses."""
    return int(text) if text is not None and re.fullmatch("[0-9]{1,10}", text) else None


async def _find_job(job: str, server: ServerHere) -> Job:
    return await server.jobs.find(job)


JobHere = Annotated[Job, Depends(_find_job)]
"""The job that the path names, by id or name."""


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


def event_stream(server: Server, job: Job, cursor: Cursor, kinds: set[StreamKind]) -> StreamingResponse:
    """Server-sent events: each has its cursor as id, so that a reconnect goes on exactly behind it."""
    if not kinds:
        raise InvalidInput("Nothing to follow: name at least one of events, logs, metrics.")
    server.watchers.check_room()

    async def send() -> AsyncIterator[str]:
        yield ": connected\n\n"
        async for item in server.streams.follow(job.id, cursor, kinds):
            yield ": still here\n\n" if item is None else _format(item)

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(send(), media_type="text/event-stream", headers=headers)


def _format(item: Item) -> str:
    from pydantic_core import to_json

    return f"id: {item.cursor}\nevent: {item.kind}\ndata: {to_json(item.data, inf_nan_mode='strings').decode()}\n\n"


async def read_page(
    server: Server, request: Request, job: Job, cursor: Cursor, kind: StreamKind, maximum_items: int
) -> tuple[list[Item], str]:
    """Up to `maximum_items` items of one kind, and the cursor behind them.

    A page of log lines ends earlier once it is large, and the reading of any page when its client has left.
    """
    items: list[Item] = []
    size = 0
    async for item in server.streams.read(job, cursor, {kind}):
        items.append(item)
        size += sum(_LINE_CHARACTERS + len(line["text"]) for line in item.data["lines"]) if kind == "logs" else 0
        if len(items) >= maximum_items or size >= _PAGE_CHARACTERS or await request.is_disconnected():
            return items, item.cursor
    return items, cursor.encode()
