"""Metrics as plots in the terminal."""

from __future__ import annotations

import shutil
import sys
from itertools import groupby
from typing import Any

import click
import plotext

_HEIGHT = 14
_MAXIMUM_WIDTH = 100


def plot_series(series: list[dict[str, Any]]) -> None:
    """Draw a plot per metric, over its steps, with a line per rank."""
    width = min(shutil.get_terminal_size().columns, _MAXIMUM_WIDTH)
    for name, group in groupby(series, key=lambda one: str(one["name"])):
        plotext.clear_figure()
        plotext.theme("clear")
        ranks = list(group)
        for number, one in enumerate(ranks):
            points = [
                (step, value)
                for step, value in zip(one["steps"], one["values"], strict=True)
                if isinstance(value, float)
            ]
            steps, values = [step for step, _ in points], [value for _, value in points]
            label = f"rank {one['rank']}" if len(ranks) > 1 else None
            plotext.plot(steps, values, label=label, color=("cyan", "magenta", "yellow", "green")[number % 4])
        plotext.plotsize(width, _HEIGHT)
        plotext.title(name)
        plotext.xlabel("step")
        drawn = plotext.build()
        click.echo(drawn if sys.stdout.isatty() else plotext.uncolorize(drawn))
