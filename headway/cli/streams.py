"""`headway metrics` and `headway events`."""

from __future__ import annotations

import json
import sys
from math import isnan, nan
from typing import Any

import click

from headway.cli.common import EXIT_STATUS, json_option, print_json, print_table, print_text, when
from headway.cli.names import job_argument
from headway.client import Client
from headway.client.control_sequences import without_controls
from headway.core.metric import SYSTEM, metric_text
from headway.errors import NotFound

_TIME_CHARACTERS = 21


@click.command()
@job_argument
@click.option("--name", "names", multiple=True, help="Only this series; may be repeated.")
@click.option("--attempt", type=click.IntRange(1), help="Only this attempt, with the steps that were repeated.")
@click.option("--points", type=click.IntRange(2), default=1000, show_default=True, help="At most, per series.")
@click.option("--plot", is_flag=True, help="Draw each metric over its steps, one line per rank.")
@json_option
def metrics(job: str, names: tuple[str, ...], attempt: int | None, points: int, plot: bool, as_json: bool) -> None:
    """Print the newest value, the minimum and the maximum of each metric; all points with --json.

    Each series continues from attempt to attempt, with each step once.
    """
    with Client() as client:
        handle = client.job(job)
        series = handle.metrics(names, attempt, points).series
        missing = {name for name in names if not name.startswith(SYSTEM)} - {one["name"] for one in series}
        known = sorted({one["name"] for one in handle.metrics().series}) if missing else []
    if missing:
        within = f" in attempt {attempt}" if attempt else ""
        others = f" It has: {', '.join(known)}." if known else ""
        raise NotFound(f"Job {handle.name} has no metric {', '.join(sorted(missing))}{within}.{others}")
    if as_json:
        print_json(series)
    elif not series and names:
        click.echo("No samples yet. The worker takes one every few seconds while the job runs.")
    elif not series:
        click.echo(
            "No metrics. A script records them with `headway.run().log(step, loss=...)`, by TensorBoard's "
            "SummaryWriter, or on lines that --metric describes."
        )
    elif plot:
        from headway.cli.plot import plot_series

        plot_series(series)
    else:
        print_table(("METRIC", "RANK", "POINTS", "STEP", "LAST", "MIN", "MAX"), map(_row, series))


def _row(series: dict[str, Any]) -> tuple[str, ...]:
    values = [float(value) for value in series["values"]]  # JSON has NaN and Infinity as text
    numbers = [value for value in values if not isnan(value)] or [nan]
    return (
        series["name"],
        str(series["rank"]),
        f"{series['count']:,}",
        f"{series['steps'][-1]:,}",
        *(metric_text(value, ".5g") for value in (values[-1], min(numbers), max(numbers))),
    )


@click.command()
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Follow the events until the job ends.")
@json_option
def events(job: str, follow: bool, as_json: bool) -> None:
    """Print the events of the job."""
    with Client() as client:
        handle = client.job(job)
        if not follow:
            found = handle.events()
            if as_json:
                print_json(found)
            else:
                for event in found:
                    _print_event(event)
            return
        try:
            for message in handle.follow("events"):
                if message.kind == "event" and as_json:
                    click.echo(json.dumps(message.data))
                elif message.kind == "event":
                    _print_event(message.data)
        except KeyboardInterrupt:
            click.echo(f"Detached; the job continues. Come back: headway events -f {job}", err=True)
            return
        handle.refresh()
    sys.exit(EXIT_STATUS.get(handle.status, 0))


def _print_event(event: dict[str, Any]) -> None:
    actor = event.get("actor")
    by = {"by": actor["worker"] or actor["kind"]} if actor else {}
    details = "  ".join(f"{name}={value}" for name, value in {**event["data"], **by}.items())
    print_text(f"{when(event['at'])}  {event['type']:<22} {without_controls(details)}", hanging=_TIME_CHARACTERS)
