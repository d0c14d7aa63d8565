"""Tracebacks in the output of several ranks. What follows from another rank's end is one line."""

from __future__ import annotations

from headway.rank_protocol.peer_errors import PEER_ERRORS

_FIRST_LINE = "Traceback (most recent call last):"
_MAXIMUM_LINES = 500


class Tracebacks:
    """Holds back the lines of a traceback until it is complete.

    It becomes one line if another rank has printed the same one, or if it tells that another rank has ended.
    """

    def __init__(self) -> None:
        self._open: dict[int, list[str]] = {}
        self._seen: dict[str, int] = {}

    def take(self, rank: int, text: str) -> list[str]:
        """The lines to show now that a rank has printed this one."""
        lines = self._open.get(rank)
        if lines is None:
            if text != _FIRST_LINE:
                return [text]
            self._open[rank] = [text]
            return []
        lines.append(text)
        if (not text or text[0].isspace()) and len(lines) < _MAXIMUM_LINES:
            return []
        del self._open[rank]
        if any(sign in text for sign in PEER_ERRORS):
            return [f"{text.partition(':')[0]}: it lost the connection to another rank, which has ended"]
        first = self._seen.setdefault("\n".join(lines), rank)
        return lines if first == rank else [f"{text} (the same traceback as rank {first})"]

    def rest(self) -> list[tuple[int, str]]:
        """The lines, with their ranks, of tracebacks that did not get complete."""
        found = [(rank, line) for rank, lines in self._open.items() for line in lines]
        self._open.clear()
        return found
