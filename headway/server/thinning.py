"""Thins series to fit into one answer, and keeps their extremes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headway.core.json_value import as_json
from headway.formats.metrics import Series

MAXIMUM_POINTS = 200_000
"""The most points of all series of one answer together."""
_LEAST_POINTS = 4
"""The fewest points of a thinned series: its ends and its extremes."""
MAXIMUM_SERIES = MAXIMUM_POINTS // _LEAST_POINTS
"""The most series of one answer."""


def points_per_series(counts: Sequence[int], maximum_points: int) -> int:
    """The most points that a series may have, so that all series together have at most MAXIMUM_POINTS.

    Short series leave the rest of their share to the others. There are at most MAXIMUM_SERIES.
    """
    left = MAXIMUM_POINTS
    wanted = sorted(min(count, maximum_points) for count in counts)
    for position, points in enumerate(wanted):
        share = left // (len(wanted) - position)
        if points > share:
            return share
        left -= points
    return maximum_points


def thin_series(series: Series, maximum_points: int) -> dict[str, Any]:
    """One series for JSON. With more than `maximum_points`, it keeps its ends and the minimum and maximum of each
    bucket.
    """
    import numpy as np

    steps = np.frombuffer(series.steps, dtype=np.int64)
    values = np.frombuffer(series.values, dtype=np.float64)
    times = np.frombuffer(series.times, dtype=np.float64)
    total = len(steps)
    chosen = np.arange(total)
    if total > maximum_points:
        picked = {0, total - 1}
        buckets = (maximum_points - len(picked)) // 2
        for bucket in np.array_split(chosen, buckets) if buckets else ():
            missing = np.isnan(values[bucket])
            least, greatest = (np.where(missing, other, values[bucket]) for other in (np.inf, -np.inf))
            picked.update((int(bucket[least.argmin()]), int(bucket[greatest.argmax()])))
        chosen = np.array(sorted(picked))
    return {
        "name": series.name,
        "rank": series.rank,
        "count": total,
        "thinned": total > len(chosen),
        "steps": steps[chosen].tolist(),
        "times": times[chosen].tolist(),
        "values": as_json(values[chosen].tolist()),
    }
