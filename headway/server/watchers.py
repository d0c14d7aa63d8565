"""Tells followers that a job changed. They read the change from the database."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager

from headway.errors import Overloaded

MAXIMUM_FOLLOWERS = 4000
"""Each follower is a connection that takes about 50 kB of memory."""


class Watchers:
    """One event per follower. It is set when the job changed; the follower clears it before it reads."""

    def __init__(self) -> None:
        self._followers: dict[str, set[asyncio.Event]] = {}
        self._count = 0
        self.closed = False

    def close(self) -> None:
        """Wake all followers for the last time: the server stops. They end their streams when they see `closed`."""
        self.closed = True
        for followers in self._followers.values():
            for follower in followers:
                follower.set()

    def check_room(self) -> None:
        """Raises Overloaded when the server has its most followers: half of the files that it may open."""
        open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        maximum = MAXIMUM_FOLLOWERS if open_files == resource.RLIM_INFINITY else min(MAXIMUM_FOLLOWERS, open_files // 2)
        if self._count >= maximum:
            raise Overloaded(f"{maximum:,} streams are already open. Try again when some have ended.")

    def changed(self, job_id: str) -> None:
        """Wake the followers of a job that has changed or was deleted."""
        for follower in self._followers.get(job_id, ()):
            follower.set()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count one stream among those that there is room for."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    @contextmanager
    def following(self, job_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the job changes."""
        follower = asyncio.Event()
        followers = self._followers.setdefault(job_id, set())
        followers.add(follower)
        try:
            yield follower
        finally:
            followers.discard(follower)
            if not followers:
                self._followers.pop(job_id, None)
