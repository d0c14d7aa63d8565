"""Notices ranks that wait for what never comes: before a first step is logged, their silence alone says nothing."""

from __future__ import annotations

_IDLE_CORES = 0.02
"""Ranks that wait for each other wake up now and then, and use less than this of a core each."""


class IdleWatch:
    """Looks at ranks that log no steps. Who computes or prints is at work, however long it takes."""

    def __init__(self, limit_seconds: float, now: float) -> None:
        self._limit_seconds = limit_seconds
        self._active_at = now
        self._read_bytes = 0

    def idle_seconds(self, read_bytes: int, cores: float | None, ranks: int, now: float) -> float | None:
        """For how long the ranks have neither computed nor printed, once that is too long; None while all is well.

        `read_bytes`: of all that they wrote; `cores`: what they use together, None as long as nobody knows.
        """
        if read_bytes != self._read_bytes or cores is None or cores >= _IDLE_CORES * max(1, ranks):
            self._read_bytes, self._active_at = read_bytes, now
        idle = now - self._active_at
        return idle if idle > self._limit_seconds else None
