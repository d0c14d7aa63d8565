"""Detects a launcher that no longer works, for example one that was stopped by a signal."""

from __future__ import annotations

from collections.abc import Callable, Collection

_MARGIN_SECONDS = 10.0
"""Extra time after the grace time, for the launcher to kill the ranks and report that."""
_GONE_SECONDS = 10.0
_LOOK_SECONDS = 2.0


class LauncherWatch:
    """A launcher is stuck if ranks do not end after a stop request, or if it does not report ranks that have ended."""

    def __init__(self, lives: Callable[[int], bool]) -> None:
        """`lives`: whether a process lives, by pid."""
        self._lives = lives
        self._due_at: float | None = None
        self._gone_since: float | None = None
        self._looked_at = 0.0

    def stops(self, grace_seconds: float, now: float) -> None:
        """Note that it was told to end the ranks, at the latest after the grace time."""
        due_at = now + grace_seconds + _MARGIN_SECONDS
        self._due_at = due_at if self._due_at is None else min(due_at, self._due_at)

    def heard(self) -> None:
        """Note that it sent a message."""
        self._gone_since = None

    def stuck(self, processes: Collection[int], now: float) -> str | None:
        """Why it counts as stuck; None if it does not. `processes`: the ranks whose end it has not reported."""
        if self._due_at is not None and now >= self._due_at:
            return "it has not ended its ranks in time"
        if now - self._looked_at < _LOOK_SECONDS:
            return None
        self._looked_at = now
        if not processes or any(self._lives(pid) for pid in processes):
            self._gone_since = None
            return None
        self._gone_since = self._gone_since or now
        return "its ranks have ended, but it has not reported that" if now - self._gone_since >= _GONE_SECONDS else None
