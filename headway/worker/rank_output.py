"""Shows what the ranks print on the worker's own output, where somebody reads that, as with `kubectl logs`."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TextIO

from headway.formats.reports import LogLine

_log = logging.getLogger("headway.ranks")
_log.propagate = False
_log.setLevel(logging.WARNING)


def show_rank_output(stream: TextIO) -> None:
    """Write the ranks' lines to the stream from now on."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("rank %(rank)d: %(message)s"))
    _log.handlers[:] = [handler]
    _log.setLevel(logging.INFO)


def show(lines: Iterable[LogLine]) -> None:
    """Show whole lines; a bar that is still drawn is left out."""
    if _log.isEnabledFor(logging.INFO):
        for line in lines:
            if not line.partial:
                _log.info("%s", line.text, extra={"rank": line.rank})
