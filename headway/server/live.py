"""Tells followers that something of a job changed; what changed they read from the database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Live:
    """One event per follower: set when its job changed, cleared by the follower before it reads."""

    def __init__(self) -> None:
        self._followers: dict[str, set[asyncio.Event]] = {}

    def changed(self, job_id: str) -> None:
        """Wake the job's followers."""
        for follower in self._followers.get(job_id, ()):
            follower.set()

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
