"""Streams and WebSockets that are open: each ends once its token no longer allows what it did when it began."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headway.errors import HeadwayError
from headway.server.access import Caller
from headway.server.callers import Callers

_POLICY_VIOLATION = 1008


@dataclass(eq=False)
class _Open:
    token: str
    caller: Caller
    ending: asyncio.Timeout


class OpenStreams:
    """Everything that reads or is a WebSocket passes here; no route has to look after it by itself.

    A client of a stream that was ended connects again, and is answered as its token deserves now.
    """

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._open: set[_Open] = set()

    async def run(self, app: ASGIApp, token: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application until it is done, or the token allows less."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] in ("http.response.start", "websocket.accept")
            await send(message)

        ending = asyncio.timeout(None)
        one = _Open(token, scope["caller"], ending)
        self._open.add(one)
        try:
            async with ending:
                await app(scope, receive, watched)
        except TimeoutError:
            if not ending.expired() or not begun:
                raise
            await send(_end_of(scope))
        finally:
            self._open.discard(one)

    def check(self) -> None:
        """Check each stream after rights changed, and end those whose caller may no longer read them."""
        for one in self._open:
            if not self._holds(one):
                one.ending.reschedule(asyncio.get_running_loop().time())

    def _holds(self, one: _Open) -> bool:
        try:
            now = self._callers.of(one.token)
        except HeadwayError:
            return False
        return now.rights == one.caller.rights


def _end_of(scope: Scope) -> Message:
    if scope["type"] == "websocket":
        return {"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "The token was revoked."}
    return {"type": "http.response.body", "body": b"", "more_body": False}
