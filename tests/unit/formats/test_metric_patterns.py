"""Metrics on lines of a log."""

from __future__ import annotations

import pytest

from headway.errors import InvalidInput
from headway.formats.metric_patterns import MetricPatterns


def test_patterns_find_values_and_steps() -> None:
    patterns = MetricPatterns({"loss": r"step (?P<step>\d+).*loss[=:] ?(?P<value>\S+)", "accuracy": r"acc (\d+\.\d+)%"})
    found = list(patterns.find("step 1200 | loss: 0.25 | acc 97.5%"))
    assert found == [("loss", 1200, 0.25), ("accuracy", None, 97.5)]
    assert list(patterns.find("step 12 | loss=1e-3")) == [("loss", 12, 0.001)]
    assert list(patterns.find("step 12 | loss=high")) == []


@pytest.mark.parametrize(
    ("pattern", "words"), [("loss=(", "is not a valid regular expression"), ("loss=.*", "has no group")]
)
def test_a_pattern_that_cannot_be_used_is_named(pattern: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=f"The pattern of metric loss {words}"):
        MetricPatterns({"loss": pattern})


def test_no_pattern_can_take_long() -> None:
    patterns = MetricPatterns({"x": r"(a+)+$"})  # exponential for engines that backtrack
    assert list(patterns.find("a" * 50_000 + "!")) == []
