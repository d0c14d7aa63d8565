"""Detects processes that do not end after all ranks have finished."""

from __future__ import annotations

from math import inf


class ExitWatch:
    """Counts from when all ranks of the attempt had finished, on all workers."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self._due_at: float | None = None

    def finished(self, now: float) -> None:
        """All ranks have finished. Only the first time counts."""
        if self._due_at is None:
            self._due_at = now + self._limit_seconds

    def overdue(self, now: float) -> bool:
        """Whether the time limit of running processes is over. True only once."""
        if self._due_at is None or now < self._due_at:
            return False
        self._due_at = inf
        return True
