"""Lets a cancelled connection attempt finish, because drivers do not close what they had opened so far."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

_Connection = TypeVar("_Connection")
_END_SECONDS = 5.0


class Connecting(Generic[_Connection]):
    """Connects in its own task. If the caller stops waiting, the connection is closed as soon as it exists."""

    def __init__(self, close: Callable[[_Connection], Awaitable[None]]) -> None:
        self._close = close
        self._unwanted: set[asyncio.Task[None]] = set()

    async def finish(self, connect: Coroutine[Any, Any, _Connection]) -> _Connection:
        """The result of `connect`."""
        connecting = asyncio.create_task(connect)
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            closing = asyncio.create_task(self._close_later(connecting))
            self._unwanted.add(closing)
            closing.add_done_callback(self._unwanted.discard)
            raise

    async def _close_later(self, connecting: asyncio.Task[_Connection]) -> None:
        await asyncio.wait({connecting})
        if not connecting.cancelled() and connecting.exception() is None:
            await self._close(connecting.result())

    async def end(self) -> None:
        """Wait, for at most some seconds, until all unwanted connections are closed."""
        if self._unwanted:
            await asyncio.wait(self._unwanted, timeout=_END_SECONDS)
