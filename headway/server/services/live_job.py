"""What is new of a followed job, read and encoded once for all of its followers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple

from headway.server.services.cursor import Cursor

BATCH_BYTES = 64 << 10
"""Of a batch, beyond which the next begins: what a connection that is not read holds of it."""
_KEPT_BYTES = 1 << 20
"""Of the batches that are kept for followers who lag. Whoever lags further reads the database again."""


class Frame(NamedTuple):
    """One thing that happened: its kind, its JSON, and the cursor after it."""

    kind: str
    body: bytes
    cursor: str


def as_events(frames: Sequence[Frame]) -> bytes:
    """Frames as server-sent events. Each has its cursor as id, if it has one."""
    return b"".join(
        (b"id: %b\n" % frame.cursor.encode() if frame.cursor else b"")
        + b"event: %b\ndata: %b\n\n" % (frame.kind.encode(), frame.body)
        for frame in frames
    )


class Batch:
    """Frames that followers get together; `cursor` is the place after them."""

    def __init__(self, frames: Sequence[Frame], cursor: Cursor) -> None:
        self.frames = frames
        self.cursor = cursor

    @property
    def size_bytes(self) -> int:
        """The bytes of its frames, about."""
        return sum(len(frame.body) + len(frame.cursor) for frame in self.frames)

    @cached_property
    def events(self) -> bytes:
        """The frames as server-sent events."""
        return as_events(self.frames)


class LiveJob:
    """The newest batches of a job, numbered from 0. Followers keep the number of the batch that they need next.

    `position` is the place after the newest batch. A new follower reads by itself up to there, then takes part. `last`
    is the frame that ends the stream, once the job has ended.
    """

    def __init__(self) -> None:
        self.position = Cursor()
        self.last: Frame | None = None
        self.following = 0
        self.next_number = 0
        self.ended = False
        self.started = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._batches: deque[Batch] = deque()
        self._kept_bytes = 0
        self._changed = asyncio.Event()

    def publish(self, frames: Sequence[Frame], position: Cursor) -> None:
        """Give followers the next batch, if there is anything in it."""
        self.position = position.copy()
        if not frames:
            return
        batch = Batch(frames, self.position)
        self._batches.append(batch)
        self._kept_bytes += batch.size_bytes
        self.next_number += 1
        while self._kept_bytes > _KEPT_BYTES and len(self._batches) > 1:
            self._kept_bytes -= self._batches.popleft().size_bytes
        self._wake()

    def end(self) -> None:
        """Nothing more comes: the job has ended, was deleted, or is not read any more."""
        self.ended = True
        self.started.set()
        self._wake()

    def batch(self, number: int) -> Batch | None:
        """The batch with a number below `next_number`; None if it is not kept any more."""
        behind = self.next_number - number
        return self._batches[-behind] if behind <= len(self._batches) else None

    async def wait(self, seconds: float) -> bool:
        """Wait for the next batch or the end, for so long at most. Whether it came."""
        changed = self._changed
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await changed.wait()
        return changed.is_set()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
