"""What is settled before a request reaches its route: who asks, and how much it may send."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headway.database.base import OVERLOADED, READ_PATIENCE_SECONDS, reading
from headway.errors import HeadwayError, Overloaded, TooLarge
from headway.server.access import Caller, CallerKind
from headway.server.api.common import MAXIMUM_BODY_BYTES, Allow, authenticate
from headway.server.api.problems import answer_of
from headway.server.server import Server

_READS = 4
"""Requests of users that only read and are worked on at a time: so that others find the event loop free."""


class Admission:
    """Answers 401 and 413 itself, before a body is read; a body that is read is bounded, whatever its headers say.

    Bodies of routes whose `Allow` has no limit are read by the route, as a stream that it bounds.
    """

    def __init__(self, app: ASGIApp, server: Server, prefix: str, routes: Sequence[APIRoute]) -> None:
        self._app = app
        self._server = server
        self._prefix = prefix
        self._turns = asyncio.Semaphore(_READS)
        allows = [(route, one.call) for route in routes for one in route.dependant.dependencies]
        self._limited = [
            (route, allow.maximum_body_bytes)
            for route, allow in allows
            if isinstance(allow, Allow) and allow.maximum_body_bytes != MAXIMUM_BODY_BYTES
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(f"{self._prefix}/"):
            await self._app(scope, receive, send)
            return
        try:
            connection = HTTPConnection(scope)
            caller = scope["caller"] = authenticate(self._server, connection)
            bounded = await self._bounded(scope, connection, receive)
        except HeadwayError as error:
            await answer_of(error)(scope, receive, send)
            return
        if bounded is None:
            return
        only_reads = _only_reads(scope, caller)
        reading.set(only_reads)  # a pipelined request begins with what the one before it had
        if not only_reads:
            await self._app(scope, bounded, send)
            return
        try:
            async with asyncio.timeout(READ_PATIENCE_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            await answer_of(Overloaded(OVERLOADED))(scope, receive, send)
            return
        await self._read(scope, bounded, send)

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request that only reads take its turn, which ends when its answer begins."""
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

    async def _bounded(self, scope: Scope, connection: HTTPConnection, receive: Receive) -> Receive | None:
        """What the route receives: the body, read here; None if the client is gone. Raises TooLarge."""
        maximum_bytes = self._maximum_bytes(scope)
        if maximum_bytes is None or scope["method"] in ("GET", "HEAD"):
            return receive
        stated = connection.headers.get("content-length", "")
        if stated.isascii() and stated.isdigit() and int(stated[:20]) > maximum_bytes:
            raise _too_large(scope, maximum_bytes)
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > maximum_bytes:
                raise _too_large(scope, maximum_bytes)
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        return replay

    def _maximum_bytes(self, scope: Scope) -> int | None:
        path = scope["path"].removeprefix(self._prefix)
        for route, maximum_bytes in self._limited:
            if scope["method"] in (route.methods or ()) and route.path_regex.match(path):
                return maximum_bytes
        return MAXIMUM_BODY_BYTES


def _only_reads(scope: Scope, caller: Caller) -> bool:
    """Whether a user only looks: what nobody's training waits for."""
    return caller.kind is CallerKind.USER and scope["method"] in ("GET", "HEAD")


def _too_large(scope: Scope, maximum_bytes: int) -> TooLarge:
    return TooLarge(
        f"The body of {scope['method']} {scope['path'][:200]} is larger than the {maximum_bytes:,} bytes allowed."
    )
