"""The reports that arrived at a server, until its recorder takes them."""

from __future__ import annotations

import asyncio


class ArrivedReports:
    """A queue of at most `maximum` reports; `put` waits while the recorder is behind."""

    def __init__(self, maximum: int) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(maximum)
        self.taken = 0
        """How many reports were taken so far."""

    async def put(self, body: bytes) -> None:
        """Add a report."""
        await self._queue.put(body)

    @property
    def empty(self) -> bool:
        """Whether all reports were taken."""
        return self._queue.empty()

    async def take(self, maximum: int) -> tuple[list[bytes], int]:
        """Wait for reports, then return up to `maximum` of them, and how many were taken in total."""
        batch = [await self._queue.get()]
        while len(batch) < maximum and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        self.taken += len(batch)
        return batch, self.taken
