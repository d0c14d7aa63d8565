"""Watching what changes in memory: it is read each moment, once for all who watch it, while anybody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import contextmanager, suppress

from headway.server.services.live_job import Frame
from headway.server.watchers import Watchers

_PASS_SECONDS = 0.5
_KEEP_ALIVE_SECONDS = 15.0
Read = Callable[[], dict[str, bytes]]
"""Reads the frames as they are now, by a key that a changed frame keeps."""


class _Shared:
    def __init__(self, read: Read) -> None:
        self.read = read
        self.frames = read()
        self.watching = 0
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def keep_reading(self) -> None:
        while True:
            await asyncio.sleep(_PASS_SECONDS)
            frames = self.read()
            if frames != self.frames:
                self.frames = frames
                self.wake()

    def wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Polling:
    """Each watcher first gets all frames, then those that changed."""

    def __init__(self, watchers: Watchers) -> None:
        self._watchers = watchers
        self._shared: dict[Hashable, _Shared] = {}

    async def watch(self, key: Hashable, read: Read, gone: Callable[[str], bytes]) -> AsyncIterator[list[Frame] | None]:
        """Frames until the server stops. `key`: who has the same one gets what the first one's `read` gives.

        `gone` makes the frame for one that is no more. None: nothing new for long.
        """
        known: dict[str, bytes] = {}
        with self._watchers.counted(), self._entry(key, read) as shared:
            while not self._watchers.closed:
                changed, now = shared.changed, shared.frames
                frames = [Frame("", body, "") for one, body in now.items() if known.get(one) != body]
                frames += [Frame("", gone(one), "") for one in known if one not in now]
                known = now
                if frames:
                    yield frames
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(_KEEP_ALIVE_SECONDS):
                        await changed.wait()
                if shared.frames is known:
                    yield None

    @contextmanager
    def _entry(self, key: Hashable, read: Read) -> Iterator[_Shared]:
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = _Shared(read)
            shared.task = asyncio.create_task(shared.keep_reading(), name=f"poll {key}")
        shared.watching += 1
        try:
            yield shared
        finally:
            shared.watching -= 1
            if not shared.watching:
                del self._shared[key]
                if shared.task is not None:
                    shared.task.cancel()
