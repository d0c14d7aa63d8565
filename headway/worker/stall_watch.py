"""Detects stalled training, by a time limit learnt from its own steps."""

from __future__ import annotations

_TIMES_LONGEST = 10.0
"""Training has stalled if a step takes ten times as long as the longest before it, and longer than the setting."""


class StallWatch:
    """Watches the last logged step. Ranks that never log one are not watched, except the start of built-in trainers."""

    def __init__(
        self,
        *,
        limit_seconds: float | None,
        minimum_seconds: float,
        startup_seconds: float | None,
        finish_seconds: float,
        now: float,
    ) -> None:
        """`limit_seconds`: replaces the learnt limit; 0 means never. `startup_seconds`: limit for the first step."""
        self._limit_seconds = limit_seconds
        self._minimum_seconds = minimum_seconds
        self._startup_seconds = startup_seconds
        self._finish_seconds = finish_seconds
        self._step: int | None = None
        self._advanced_at = now
        self._longest_seconds = 0.0
        self._finishing = False

    def finishes(self, now: float) -> None:
        """Note that training is done. Evaluation and saving follow, with a limit of their own."""
        if not self._finishing:
            self._finishing = True
            self._advanced_at = now

    def silent_seconds(self, step: int | None, now: float) -> float | None:
        """How long there was no new step, if that is too long; otherwise None."""
        if step != self._step:
            if self._step is not None:
                self._longest_seconds = max(self._longest_seconds, now - self._advanced_at)
            self._step, self._advanced_at = step, now
        limit = self._limit()
        silent = now - self._advanced_at
        return silent if limit is not None and silent > limit else None

    def _limit(self) -> float | None:
        if self._limit_seconds == 0:
            return None
        if self._finishing:
            return self._finish_seconds
        if self._step is None:
            return self._startup_seconds
        return self._limit_seconds or max(self._minimum_seconds, _TIMES_LONGEST * self._longest_seconds)
