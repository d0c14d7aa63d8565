"""The table of metrics, with values that are not finite."""

from __future__ import annotations

from typing import Any

import pytest

from headway.cli.streams import _row


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([3.0, 1.0, 2.0], ("2", "1", "3")),
        ([1.0, "NaN", 2.0, "NaN"], ("NaN", "1", "2")),
        ([1.0, "-Infinity", "Infinity"], ("Infinity", "-Infinity", "Infinity")),
        (["NaN", "NaN"], ("NaN", "NaN", "NaN")),
    ],
)
def test_values_that_are_not_finite_are_spelled_alike_and_count(values: list[Any], shown: tuple[str, ...]) -> None:
    series = {"name": "loss", "rank": 0, "count": len(values), "steps": [*range(len(values))], "values": values}
    assert _row(series)[4:] == shown
