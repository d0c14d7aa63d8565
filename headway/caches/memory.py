"""A cache in this process's memory: `memory:`."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from headway.caches.base import Cache


class MemoryCache(Cache):
    """Drops the least recently used values when it is full."""

    def __init__(self, url: str, maximum_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._maximum_bytes = maximum_bytes
        self._clock = clock
        self._bytes = 0
        self._values: OrderedDict[str, tuple[bytes, float | None]] = OrderedDict()

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        self._values.clear()
        self._bytes = 0

    async def get(self, key: str) -> bytes | None:
        if key not in self._values:
            return None
        value, expires_at = self._values[key]
        if expires_at is not None and self._clock() >= expires_at:
            await self.delete(key)
            return None
        self._values.move_to_end(key)
        return value

    async def put(self, key: str, value: bytes, expire_seconds: float | None = None) -> None:
        await self.delete(key)
        if len(value) > self._maximum_bytes:
            return
        expires_at = None if expire_seconds is None else self._clock() + expire_seconds
        self._values[key] = (value, expires_at)
        self._bytes += len(value)
        while self._bytes > self._maximum_bytes:
            _, (dropped, _) = self._values.popitem(last=False)
            self._bytes -= len(dropped)

    async def delete(self, key: str) -> None:
        if key in self._values:
            value, _ = self._values.pop(key)
            self._bytes -= len(value)
