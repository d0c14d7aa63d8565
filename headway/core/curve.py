"""The curve of a job's main metric: at most 32 points, kept up to date as reports are recorded."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from headway.core.frozen import Frozen, MetricValue

MAXIMUM_POINTS = 32
_PREFERRED = ("train/loss", "loss")
"""The names that come first. Then come other names with `loss`, then all others."""


class Curve(Frozen):
    """The last point of each stretch of `stride` steps, by step. It does not depend on the order of reports.

    The main metric is the most preferred one that was logged so far, of the lowest rank that logs it.
    """

    attempt: int = 0
    """The newest attempt of which it has reports."""
    reports: dict[str, int] = {}
    """Up to which number it has the reports of this attempt, by worker."""
    begun: bool = False
    """Whether this attempt has logged the metric."""
    name: str = ""
    """The metric; empty before the first."""
    rank: int = 0
    """The rank that logged it."""
    stride: int = 1
    """How many steps a stretch has: a power of two."""
    steps: tuple[int, ...] = ()
    """The steps of its points."""
    values: tuple[MetricValue, ...] = ()
    """The values of its points."""

    def prefers(self, name: str, rank: int) -> bool:
        """Whether a series is the main metric, or is to be from now on."""
        return not self.name or _order(name, rank) <= _order(self.name, self.rank)

    def levels(self) -> list[int | None]:
        """Each value between the least (0) and the greatest (100); None for one that is not finite."""
        halves = [value / 2 for value in self.values if isfinite(value)]  # so that no difference overflows
        least = min(halves, default=0.0)
        height = max(halves, default=0.0) - least
        return [
            None if not isfinite(value) else round((value / 2 - least) / height * 100) if height else 0
            for value in self.values
        ]


def main_series(names: Iterable[tuple[str, int]]) -> tuple[str, int]:
    """The most preferred of some series, by name and rank."""
    return min(names, key=lambda one: _order(*one))


def with_attempt(curve: Curve, attempt: int) -> Curve:
    """The curve when reports of an attempt come. Those of earlier attempts do not count any more."""
    if attempt <= curve.attempt:
        return curve
    return curve.model_copy(update={"attempt": attempt, "reports": {}, "begun": False})


def with_points(curve: Curve, name: str, rank: int, points: Iterable[tuple[int, float]]) -> Curve:
    """The curve with points of a series of the newest attempt, which repeats steps of attempts before it."""
    new = dict(points)
    if not new or not curve.prefers(name, rank):
        return curve
    old: Iterable[tuple[int, float]] = zip(curve.steps, curve.values, strict=True)
    stride = curve.stride
    if (curve.name, curve.rank) != (name, rank):
        old, stride = (), 1
    elif not curve.begun:
        first = min(new)
        old = [(step, value) for step, value in old if step < first]
    kept = _last_of_each([*old, *sorted(new.items())], stride)
    while len(kept) > MAXIMUM_POINTS:
        stride *= 2
        kept = _last_of_each(kept, stride)
    changes = {"begun": True, "name": name, "rank": rank, "stride": stride}
    return curve.model_copy(
        update={**changes, "steps": tuple(step for step, _ in kept), "values": tuple(value for _, value in kept)}
    )


def _last_of_each(points: Iterable[tuple[int, float]], stride: int) -> list[tuple[int, float]]:
    """The point with the greatest step of each stretch; of points with the same step the last."""
    kept: dict[int, tuple[int, float]] = {}
    for point in points:
        stretch = point[0] // stride
        if stretch not in kept or kept[stretch][0] <= point[0]:
            kept[stretch] = point
    return [kept[stretch] for stretch in sorted(kept)]


def _order(name: str, rank: int) -> tuple[int, int, str]:
    if name in _PREFERRED:
        return _PREFERRED.index(name), rank, name
    return len(_PREFERRED) + ("loss" not in name.lower()), rank, name
