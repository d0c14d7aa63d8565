"""Facts of one assignment on their way into the next report."""

from __future__ import annotations

from collections import deque

from headway.core.facts import Fact


class FactQueue:
    """Whoever learns a fact puts it in; only the assignment's reporter takes facts out, once they are on the disk.

    For the event loop's thread only: a thread that writes a report gets what was waiting as a tuple of its own, so what
    comes meanwhile waits for the next report.
    """

    def __init__(self) -> None:
        self._waiting: deque[Fact] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, *facts: Fact) -> None:
        """Have these reported, in this order."""
        self._waiting.extend(facts)

    def waiting(self) -> tuple[Fact, ...]:
        """What is to be reported, in order; it stays."""
        return tuple(self._waiting)

    def reported(self, count: int) -> None:
        """The first `count` are in a report on the disk."""
        for _ in range(count):
            self._waiting.popleft()
