"""The curve of a job's main metric."""

from __future__ import annotations

import random
from math import inf, nan

import pytest

from headway.core.curve import MAXIMUM_POINTS, Curve, main_series, with_attempt, with_points


def a_curve(points: list[tuple[int, float]], attempt: int = 1) -> Curve:
    return with_points(with_attempt(Curve(), attempt), "loss", 0, points)


def test_it_is_bounded_and_keeps_the_newest_point_whatever_the_order_of_reports() -> None:
    reports = [[(step, 1 / (step + 1)) for step in range(first, first + 7)] for first in range(0, 7000, 7)]
    in_order = with_attempt(Curve(), 1)
    for report in reports:
        in_order = with_points(in_order, "loss", 0, report)
    random.Random(1).shuffle(reports)
    shuffled = with_attempt(Curve(), 1)
    for report in [*reports, *reports[:100]]:
        shuffled = with_points(shuffled, "loss", 0, report)
    assert shuffled == in_order
    assert MAXIMUM_POINTS / 2 <= len(in_order.steps) <= MAXIMUM_POINTS
    assert (in_order.steps[-1], in_order.values[-1]) == (6999, 1 / 7000)


def test_a_later_attempt_repeats_steps_and_an_earlier_one_does_not_come_back() -> None:
    curve = a_curve([(step, 1.0) for step in range(10)])
    curve = with_points(with_attempt(curve, 2), "loss", 0, [(6, 2.0), (7, 2.0)])
    assert curve.steps == (0, 1, 2, 3, 4, 5, 6, 7)
    assert curve.values == (1.0,) * 6 + (2.0,) * 2
    assert with_attempt(curve, 1) is curve


@pytest.mark.parametrize(
    ("names", "main"),
    [
        ([("accuracy", 0), ("val/Loss", 0)], ("val/Loss", 0)),
        ([("val/loss", 0), ("loss", 1), ("loss", 3)], ("loss", 1)),
        ([("loss", 0), ("train/loss", 2)], ("train/loss", 2)),
        ([("reward", 0), ("length", 0)], ("length", 0)),
    ],
)
def test_the_main_metric_is_a_loss_if_there_is_one(names: list[tuple[str, int]], main: tuple[str, int]) -> None:
    assert main_series(names) == main


def test_a_better_metric_takes_the_place_of_another_and_stays() -> None:
    curve = with_points(with_attempt(Curve(), 1), "accuracy", 0, [(1, 0.1)])
    curve = with_points(curve, "train/loss", 0, [(2, 0.5)])
    assert with_points(curve, "accuracy", 0, [(3, 0.9)]) is curve
    assert (curve.name, curve.steps) == ("train/loss", (2,))


def test_levels_are_between_the_least_and_the_greatest_value() -> None:
    assert a_curve([(1, 2.0), (2, nan), (3, 1.0), (4, 1.5), (5, inf)]).levels() == [100, None, 0, 50, None]
    assert a_curve([(1, 3.0), (2, 3.0)]).levels() == [0, 0]
    assert a_curve([(1, nan)]).levels() == [None]
    assert a_curve([(1, -1.7e308), (2, 1.7e308)]).levels() == [0, 100]


def test_it_is_stored_with_values_that_are_not_finite() -> None:
    curve = a_curve([(1, nan), (2, inf)])
    assert Curve.model_validate_json(curve.model_dump_json()).levels() == [None, None]
