"""Notices that a training has stalled, by a time learnt from its own steps."""

from __future__ import annotations

_TIMES_LONGEST = 10.0
"""A step that takes ten times as long as the longest before it, and longer than the setting, is no step."""


class StallWatch:
    """Looks at the last logged step. Ranks that never log one are not watched, except the built-in trainers' start."""

    def __init__(
        self,
        *,
        limit_seconds: float | None,
        minimum_seconds: float,
        startup_seconds: float | None,
        finish_seconds: float,
        now: float,
    ) -> None:
        """`limit_seconds`: instead of the learnt time, 0 for never. `startup_seconds`: until the first step."""
        self._limit_seconds = limit_seconds
        self._minimum_seconds = minimum_seconds
        self._startup_seconds = startup_seconds
        self._finish_seconds = finish_seconds
        self._step: int | None = None
        self._advanced_at = now
        self._longest_seconds = 0.0
        self._finishing = False

    def finishes(self, now: float) -> None:
        """Training is through; what comes is evaluation and saving, with a limit of its own."""
        if not self._finishing:
            self._finishing = True
            self._advanced_at = now

    def silent_seconds(self, step: int | None, now: float) -> float | None:
        """For how long nothing came, once that is too long; None while all is well."""
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
