"""Tells followers that something of a job changed; what changed they read from the database."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from headway.core.job import Job
from headway.errors import Overloaded

MAXIMUM_FOLLOWERS = 4000
"""Each is a connection, with some 50 kB of memory."""


class Watcher:
    """The jobs that changed since the watcher looked last, each once."""

    def __init__(self) -> None:
        self._changed: dict[str, str | None] = {}
        self._woken = asyncio.Event()

    def add(self, job_id: str, deleted_from: str | None = None) -> None:
        """The job changed, or was deleted from that project, after which changes of it count no more."""
        self._changed[job_id] = deleted_from or self._changed.get(job_id)
        self._woken.set()

    def wake(self) -> None:
        """End the wait, with or without a change."""
        self._woken.set()

    async def take(self, seconds: float) -> dict[str, str | None]:
        """Wait for changes, for so long at most, and take them: by id, the project that the job was deleted from."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()
        changed, self._changed = self._changed, {}
        return changed


class Watchers:
    """One event per follower: set when its job changed, cleared by the follower before it reads."""

    def __init__(self) -> None:
        self._followers: dict[str, set[asyncio.Event]] = {}
        self._watchers: set[Watcher] = set()
        self._count = 0
        self.closed = False

    def close(self) -> None:
        """Wake everyone for the last time: the server stops, and followers end their streams when they see `closed`."""
        self.closed = True
        for followers in self._followers.values():
            for follower in followers:
                follower.set()
        for watcher in self._watchers:
            watcher.wake()

    def check_room(self) -> None:
        """Raises Overloaded when there are as many followers as one server can have: half of the files it may open."""
        open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        maximum = MAXIMUM_FOLLOWERS if open_files == resource.RLIM_INFINITY else min(MAXIMUM_FOLLOWERS, open_files // 2)
        if self._count >= maximum:
            raise Overloaded(f"{maximum:,} streams are open already. Try again when some have ended.")

    def changed(self, job_id: str) -> None:
        """Wake the job's followers."""
        self._wake(job_id, None)

    def deleted(self, job: Job) -> None:
        """Wake the followers of a job that is gone."""
        self._wake(job.id, job.project)

    def _wake(self, job_id: str, deleted_from: str | None) -> None:
        for follower in self._followers.get(job_id, ()):
            follower.set()
        for watcher in self._watchers:
            watcher.add(job_id, deleted_from)

    @contextmanager
    def following(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the job changes."""
        follower = asyncio.Event()
        followers = self._followers.setdefault(job_id, set())
        followers.add(follower)
        self._count += 1
        try:
            yield follower
        finally:
            self._count -= 1
            followers.discard(follower)
            if not followers:
                self._followers.pop(job_id, None)

    @contextmanager
    def watching(self) -> Iterator[Watcher]:
        """Everything that changes, of all jobs."""
        watcher = Watcher()
        self._watchers.add(watcher)
        self._count += 1
        try:
            yield watcher
        finally:
            self._count -= 1
            self._watchers.discard(watcher)
