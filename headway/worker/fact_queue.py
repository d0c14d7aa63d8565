"""Facts of one assignment that wait for the next report."""

from __future__ import annotations

from collections import deque

from headway.core.facts import Fact


class FactQueue:
    """Any part of the assignment adds facts. Only its reporter removes them, once they are on the disk.

    Use it only in the event loop's thread. A thread that writes a report gets a tuple of the waiting facts; facts that
    come meanwhile wait for the next report.
    """

    def __init__(self) -> None:
        self._waiting: deque[Fact] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, *facts: Fact) -> None:
        """Add facts to be reported, in this order."""
        self._waiting.extend(facts)

    def waiting(self) -> tuple[Fact, ...]:
        """The facts to report, in order. They stay in the queue."""
        return tuple(self._waiting)

    def reported(self, count: int) -> None:
        """Remove the first `count` facts: they are in a report on the disk."""
        for _ in range(count):
            self._waiting.popleft()
