"""Series are thinned without a lie about their extremes."""

from __future__ import annotations

import math

from headway.formats.reports import Series
from headway.server.services.streams import thin_series


def test_a_bucket_with_missing_values_keeps_the_extremes_of_the_others() -> None:
    """Given a series of which every second value is NaN, when it is thinned, then its least and greatest are there."""
    series = Series("loss", 0)
    for step in range(400):
        series.steps.append(step)
        series.times.append(0.0)
        series.values.append(math.nan if step % 2 else 10.0 + step)
    values = [float(value) for value in thin_series(series, None, None, 6)["values"]]
    assert {10.0, 408.0} <= {*values}
