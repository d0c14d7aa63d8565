"""Before routing: find out who sends the request, and let reads of users take turns."""

from __future__ import annotations

import asyncio

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headway.database.base import OVERLOADED, READ_PATIENCE_SECONDS, reading
from headway.errors import HeadwayError, Overloaded
from headway.server.access import NOBODY, Caller, CallerKind
from headway.server.api.browser_rules import add_browser_rules
from headway.server.api.common import address_of
from headway.server.api.cookies import token_of
from headway.server.api.open_streams import OpenStreams
from headway.server.api.page import is_of_page
from headway.server.api.problems import answer_of
from headway.server.api.web_origins import WebOrigins
from headway.server.counters import COUNTED_STATUSES
from headway.server.server import Server

USERS_DOCUMENT = "/openapi.users.json"
"""Where the document without the routes of workers and ranks is, which `/docs` shows."""
PUBLIC_PATHS = frozenset(
    {
        "/docs",
        "/docs/oauth2-redirect",
        "/redoc",
        "/openapi.json",
        USERS_DOCUMENT,
        "/job.schema.json",
        "/live.schema.json",
    }  # how the API is used
    | {"/livez", "/readyz", "/health", "/version"}  # for probes
    | {"/enter"}  # redeems a one-time link
)
LOGIN_PATHS = frozenset({"/api/v1/session", "/api/v1/session/tokens", "/api/v1/session/renew"})
"""To POST there logs in, so it needs no token."""
PUBLIC_FOLDER = "/static-offline-docs/"
"""Files that the documentation pages load."""
_READS = 4
"""How many read-only requests of users run at once, so that the event loop stays free for others."""


class Admission:
    """Answers 401 for every path that is not public, whether the path exists or not. WebSockets get the same answer.

    It sets `scope["caller"]` for the routes. It reads no body.
    """

    def __init__(self, app: ASGIApp, server: Server) -> None:
        self._app = app
        self._server = server
        self._turns = asyncio.Semaphore(_READS)
        self._origins = WebOrigins(server.settings)
        self._streams = OpenStreams(server.callers)
        server.directory.on_change = (*server.directory.on_change, self._streams.check)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_browser_rules(message, scope["path"])
                if message["status"] in COUNTED_STATUSES:
                    self._server.counters.answers[message["status"]] += 1
            await send(message)

        await self._admit(scope, receive, counted)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._origins.check(HTTPConnection(scope))
        except HeadwayError as error:
            self._server.audit.not_authenticated(address_of(scope), scope["path"], error.message)
            await answer_of(error)(scope, receive, send)
            return
        if _is_public(scope["path"]):
            await self._answer_anyone(scope, receive, send)
            return
        if scope["path"] in LOGIN_PATHS and scope.get("method") == "POST":
            scope["caller"] = NOBODY
            await self._app(scope, receive, send)
            return
        try:
            token = token_of(HTTPConnection(scope))
            caller = scope["caller"] = self._server.callers.of(token)
        except HeadwayError as error:
            self._server.audit.not_authenticated(address_of(scope), scope["path"], error.message)
            await answer_of(error)(scope, receive, send)
            return
        only_reads = _only_reads(scope, caller)
        reading.set(only_reads)  # a pipelined request begins with what the one before it had
        app = self._take_turn if only_reads else self._app
        if only_reads or scope["type"] == "websocket":
            await self._streams.run(app, token, scope, receive, send)
        else:
            await app(scope, receive, send)

    async def _answer_anyone(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer HEAD like GET, without the body: FastAPI's routes do not support HEAD."""

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, send_head)
        else:
            await self._app(scope, receive, send)

    async def _take_turn(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait until this read-only request may run. Its turn ends when its answer starts."""
        try:
            async with asyncio.timeout(READ_PATIENCE_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            await answer_of(Overloaded(OVERLOADED))(scope, receive, send)
            return
        over = False

        def end_turn() -> None:
            nonlocal over
            if not over:
                over = True
                self._turns.release()

        async def send_on(message: Message) -> None:
            end_turn()
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            end_turn()


def _is_public(path: str) -> bool:
    """Whether everyone may ask for the path."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDER) or is_of_page(path)


def _only_reads(scope: Scope, caller: Caller) -> bool:
    """Whether this is a user's read-only request, which no training waits for."""
    return caller.kind is CallerKind.USER and scope.get("method") in ("GET", "HEAD")
