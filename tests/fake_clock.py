"""Time that passes only when a test says so."""

from __future__ import annotations

from headway.server.clock import Clock


class FakeClock(Clock):
    """A monotonic clock that does not move until `seconds` is set."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds
