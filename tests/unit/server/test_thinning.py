"""Thinned series keep their extremes."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from headway.formats.metrics import Series
from headway.server.thinning import MAXIMUM_POINTS, MAXIMUM_SERIES, points_per_series, thin_series


def test_a_bucket_with_missing_values_keeps_the_extremes_of_the_others() -> None:
    """Given a series where every second value is NaN, when it is thinned, then its minimum and maximum are kept."""
    series = Series("loss", 0)
    for step in range(400):
        series.steps.append(step)
        series.times.append(0.0)
        series.values.append(math.nan if step % 2 else 10.0 + step)
    values = [float(value) for value in thin_series(series, 6)["values"]]
    assert {10.0, 408.0} <= {*values}


def test_a_series_never_has_more_points_than_it_may() -> None:
    series = Series("loss", 0)
    for step in range(400):
        series.steps.append(step)
        series.times.append(0.0)
        series.values.append(float((step * 7) % 100))
    for maximum_points in range(2, 420):
        thinned = thin_series(series, maximum_points)
        assert len(thinned["steps"]) <= maximum_points
        assert (thinned["steps"][0], thinned["steps"][-1], thinned["count"]) == (0, 399, 400)
        assert thinned["thinned"] == (maximum_points < 400)


@given(st.lists(st.integers(0, 10**9), max_size=200), st.integers(2, 100_000))
def test_all_series_together_stay_within_the_bound_and_use_it(counts: list[int], asked: int) -> None:
    points = points_per_series(counts, asked)
    given_points = sum(min(count, points) for count in counts)
    assert 2 <= points <= asked
    assert given_points <= MAXIMUM_POINTS
    if points < asked:
        assert given_points > MAXIMUM_POINTS - len(counts), "the others get what short series do not use"


def test_as_many_series_as_one_answer_holds_keep_their_ends_and_extremes() -> None:
    assert points_per_series([1000] * MAXIMUM_SERIES, 1000) == 4
