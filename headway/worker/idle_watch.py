"""Detects idle ranks: before the first step is logged, silence alone does not show a stall."""

from __future__ import annotations

_IDLE_CORES = 0.02
"""Ranks that wait for each other wake up from time to time, and use less than this share of a core each."""


class IdleWatch:
    """Watches ranks that log no steps. A rank that computes or prints is not idle, however long it takes."""

    def __init__(self, limit_seconds: float, now: float) -> None:
        self._limit_seconds = limit_seconds
        self._active_at = now
        self._read_bytes = 0

    def idle_seconds(self, read_bytes: int, cores: float | None, ranks: int, now: float) -> float | None:
        """How long the ranks have neither computed nor printed, if that is too long; otherwise None.

        `read_bytes`: how much they have written. `cores`: the cores that they use together; None if unknown.
        """
        if read_bytes != self._read_bytes or cores is None or cores >= _IDLE_CORES * max(1, ranks):
            self._read_bytes, self._active_at = read_bytes, now
        idle = now - self._active_at
        return idle if idle > self._limit_seconds else None
