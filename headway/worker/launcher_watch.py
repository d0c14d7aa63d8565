"""Notices a launcher that does nothing any more, as one that somebody has stopped."""

from __future__ import annotations

from collections.abc import Callable, Collection

_MARGIN_SECONDS = 10.0
"""Beyond their grace time, for the launcher to kill the ranks and to say so."""
_GONE_SECONDS = 10.0
_LOOK_SECONDS = 2.0


class LauncherWatch:
    """It is stuck when ranks that were to end have not, or when ranks are gone and it has not said so for long."""

    def __init__(self, lives: Callable[[int], bool]) -> None:
        """`lives` tells of a process."""
        self._lives = lives
        self._due_at: float | None = None
        self._gone_since: float | None = None
        self._looked_at = 0.0

    def stops(self, grace_seconds: float, now: float) -> None:
        """It was told to end the ranks, at the latest after the grace time."""
        due_at = now + grace_seconds + _MARGIN_SECONDS
        self._due_at = due_at if self._due_at is None else min(due_at, self._due_at)

    def heard(self) -> None:
        """It has said something."""
        self._gone_since = None

    def stuck(self, processes: Collection[int], now: float) -> str | None:
        """Why it counts as stuck; None if it does not. `processes`: the ranks of which it has told no end."""
        if self._due_at is not None and now >= self._due_at:
            return "it has not ended its ranks in time"
        if now - self._looked_at < _LOOK_SECONDS:
            return None
        self._looked_at = now
        if not processes or any(self._lives(pid) for pid in processes):
            self._gone_since = None
            return None
        self._gone_since = self._gone_since or now
        return "its ranks are gone, and it has not told of that" if now - self._gone_since >= _GONE_SECONDS else None
