"""What ranks have printed behind their last line end: bars that are drawn again and again, and questions."""

from __future__ import annotations

_STANDS_SECONDS = 1.0
"""So old has a line to be before it is reported without its end; until then the end is likely to come."""


class UnfinishedLines:
    """Per rank the line that has no end yet, and what was reported of it."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}
        self._reported: dict[int, bytes] = {}
        self._waiting: set[int] = set()

    @property
    def waiting(self) -> bool:
        """Whether one is to be looked at again, even if nothing more is printed."""
        return bool(self._waiting)

    def end(self, rank: int) -> None:
        """The line has got its end, or a new one begins."""
        self._since.pop(rank, None)
        self._reported.pop(rank, None)
        self._waiting.discard(rank)

    def news(self, rank: int, drawn: bytes, now: float, *, at_once: bool) -> bool:
        """Whether the line, as it was drawn last, is to be reported: it has stood for a while, and looks different."""
        if not drawn.strip() or drawn == self._reported.get(rank):
            self._waiting.discard(rank)
            return False
        if now - self._since.setdefault(rank, now) < _STANDS_SECONDS and not at_once:
            self._waiting.add(rank)
            return False
        self._waiting.discard(rank)
        self._reported[rank] = drawn
        return True


def last_drawn(rest: bytes) -> int:
    """Where, in a line without end, that begins which was drawn last: behind a carriage return."""
    return rest.rstrip(b"\r").rfind(b"\r") + 1
