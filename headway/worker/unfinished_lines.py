"""The text of ranks after their last line end: progress bars that are redrawn, and prompts."""

from __future__ import annotations

_STANDS_SECONDS = 1.0
"""How old a line must be before it is reported without its end. Until then its end will probably come."""


class UnfinishedLines:
    """Per rank, the line that has no end yet, and what was reported of it."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}
        self._reported: dict[int, bytes] = {}
        self._waiting: set[int] = set()

    @property
    def waiting(self) -> bool:
        """Whether a line has to be checked again, even if nothing more is printed."""
        return bool(self._waiting)

    def end(self, rank: int) -> None:
        """The line has ended, or a new one starts."""
        self._since.pop(rank, None)
        self._reported.pop(rank, None)
        self._waiting.discard(rank)

    def news(self, rank: int, drawn: bytes, now: float, *, at_once: bool) -> bool:
        """Whether the line, as it was drawn last, has to be reported: it is old enough, and differs from the last
        report.
        """
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
    """The position where the last drawing starts in a line without an end: after a carriage return."""
    return rest.rstrip(b"\r").rfind(b"\r") + 1
