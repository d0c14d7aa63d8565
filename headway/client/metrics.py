"""A job's metrics, for clients."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Metrics(dict[str, dict[int, float]]):
    """Per metric the value at each step: `pandas.DataFrame(job.metrics()).plot()` draws them all.

    A metric that several ranks logged has a column per rank: `loss[0]`, `loss[1]`. `series` is the server's answer:
    name, rank, steps, values, and the number of points before thinning.
    """

    def __init__(self, series: list[dict[str, Any]]) -> None:
        ranks = Counter(one["name"] for one in series)
        super().__init__(
            {
                one["name"] if ranks[one["name"]] == 1 else f"{one['name']}[{one['rank']}]": dict(
                    zip(one["steps"], map(float, one["values"]), strict=True)  # JSON has NaN and Infinity as text
                )
                for one in series
            }
        )
        self.series = series

    def __repr__(self) -> str:
        rows = [f"{name}: {len(points):,} points, last {_last(points)}" for name, points in self.items()]
        return "\n".join(rows) or "No metrics."

    def _repr_html_(self) -> str:
        from html import escape

        if not self:
            return repr(self)
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{len(points):,}</td><td>{_last(points)}</td></tr>"
            for name, points in self.items()
        )
        return f"<table><tr><th>metric</th><th>points</th><th>last</th></tr>{rows}</table>"


def _last(points: dict[int, float]) -> str:
    if not points:
        return "-"
    step = max(points)
    return f"{points[step]:.5g} at step {step:,}"
