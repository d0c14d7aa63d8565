"""The memory of each rank over its lifetime, for the record of its failure."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

import psutil

_POINTS = 60
_SECONDS = 1.0


class MemoryCurves:
    """Resident bytes of each rank's process: a point each second at first, and fewer as the curve grows."""

    def __init__(self) -> None:
        self._curves: dict[int, list[tuple[float, int]]] = {}
        self._every_seconds = _SECONDS
        self._looked_at = 0.0

    def look(self, processes: Mapping[int, int]) -> None:
        """Add a point for each rank (rank to pid), if the next one is due."""
        now = time.monotonic()
        if now - self._looked_at < self._every_seconds:
            return
        self._looked_at = now
        for rank, pid in processes.items():
            with suppress(psutil.Error):
                resident_bytes = psutil.Process(pid).memory_info().rss
                self._curves.setdefault(rank, []).append((time.time(), resident_bytes))
        if any(len(curve) >= _POINTS for curve in self._curves.values()):
            self._curves = {rank: curve[::2] for rank, curve in self._curves.items()}
            self._every_seconds *= 2

    def of(self, rank: int, ended_at: float, peak_bytes: int | None) -> tuple[tuple[float, int], ...]:
        """The rank's curve as (seconds since the epoch, bytes); its last point is the peak.

        The peak is the larger of the kernel's figure and the largest point: the kernel adds up counters of threads only
        from time to time, so its figure may be several pages too low.
        """
        curve = self._curves.get(rank, [])
        if peak_bytes is None:
            return tuple(curve)
        return (*curve, (ended_at, max([peak_bytes, *(seen for _, seen in curve)])))
