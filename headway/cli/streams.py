"""`headway logs`, `metrics`, `events`."""

from __future__ import annotations

import json
import re
import shutil
import sys
from typing import Any

import click

from headway.cli.common import EXIT_STATUS, json_option, print_json, print_table, when
from headway.client import Client
from headway.client.progress import UnfinishedLines, rank_prefix

_CLEAR_LINE = "\r\x1b[2K"


@click.command()
@click.argument("job")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option("--rank", type=click.IntRange(-1), help="Only this rank; -1 is what preparing printed.")
@click.option("--attempt", type=click.IntRange(1), help="Only this attempt.")
@click.option("--grep", metavar="REGEX", help="Only lines in which this is found.")
@click.option("--no-repeated", is_flag=True, help="Without lines of steps that a later attempt did again.")
@json_option
def logs(
    job: str, follow: bool, rank: int | None, attempt: int | None, grep: str | None, no_repeated: bool, as_json: bool
) -> None:
    """Print what the job's ranks have printed. Lines of steps that a later attempt did again are marked with ~."""
    wanted = _pattern(grep)
    with Client() as client:
        handle = client.job(job)
        world_size = handle.data["spec"]["world_size"]

        bars = _Bars()

        def show(line: dict[str, Any]) -> None:
            if (rank is not None and line["rank"] != rank) or (attempt is not None and line["attempt"] != attempt):
                return
            if wanted.search(line["text"]) and not (no_repeated and line["repeated"]):
                mark = "~ " if line["repeated"] else ""
                prefix = click.style(mark + rank_prefix(line["rank"], world_size), fg="bright_black")
                text = click.style(line["text"], dim=True) if line["repeated"] else line["text"]
                if follow and line.get("partial") and not as_json:
                    bars.draw(line["rank"], f"{prefix}{text}")
                else:
                    bars.clear()
                    click.echo(json.dumps(line) if as_json else f"{prefix}{text}")

        if not follow:
            for line in handle.logs():
                show(line)
            return
        try:
            for message in handle.follow("logs"):
                for line in message.data.get("lines", ()):
                    show({"attempt": message.data["attempt"], "worker": message.data["worker"], **line})
        except KeyboardInterrupt:
            click.echo(f"Detached; the job goes on. Come back: headway logs -f {job}", err=True)
            return
        handle.refresh()
    sys.exit(EXIT_STATUS.get(handle.status, 0))


class _Bars:
    """Draws lines without end over each other on a terminal; elsewhere each rank's becomes a line now and then."""

    def __init__(self) -> None:
        self._unfinished = UnfinishedLines()
        self._drawn = False

    def draw(self, rank: int, text: str) -> None:
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1  # a line that wraps could not be drawn over
            click.echo(f"{_CLEAR_LINE}{click.unstyle(text)[:width]}", nl=False)
            self._drawn = True
        elif self._unfinished.due(rank):
            click.echo(text)

    def clear(self) -> None:
        if self._drawn:
            click.echo(_CLEAR_LINE, nl=False)
            self._drawn = False


def _pattern(grep: str | None) -> re.Pattern[str]:
    try:
        return re.compile(grep or "")
    except re.error as error:
        raise click.BadParameter(f"{grep!r} cannot be read: {error}", param_hint="--grep") from error


@click.command()
@click.argument("job")
@click.option("--name", "names", multiple=True, help="Only this series; may be repeated.")
@click.option("--attempt", type=click.IntRange(1), help="Only this attempt, with what was done again.")
@click.option("--points", type=click.IntRange(2), default=1000, show_default=True, help="Points per series at most.")
@click.option("--plot", is_flag=True, help="Draw each metric over its steps, one line per rank.")
@json_option
def metrics(job: str, names: tuple[str, ...], attempt: int | None, points: int, plot: bool, as_json: bool) -> None:
    """Print the newest value and the extremes of each metric; all points with --json.

    Each series goes on from attempt to attempt, with each step once.
    """
    with Client() as client:
        series = client.job(job).metrics(names, attempt, points)
    if as_json:
        print_json(series)
    elif not series:
        click.echo(
            "No metrics. A script records them with `headway.run().log(step, loss=...)`, by TensorBoard's "
            "SummaryWriter, or on lines that --metric describes."
        )
    elif plot:
        from headway.cli.plot import plot_series

        plot_series(series)
    else:
        print_table(("METRIC", "RANK", "POINTS", "STEP", "LAST", "LEAST", "GREATEST"), map(_row, series))


def _row(series: dict[str, Any]) -> tuple[str, ...]:
    numbers = [value for value in series["values"] if isinstance(value, float)] or [float("nan")]
    last = series["values"][-1]
    return (
        series["name"],
        str(series["rank"]),
        f"{series['count']:,}",
        f"{series['steps'][-1]:,}",
        f"{last:.5g}" if isinstance(last, float) else last,
        f"{min(numbers):.5g}",
        f"{max(numbers):.5g}",
    )


@click.command()
@click.argument("job")
@json_option
def events(job: str, as_json: bool) -> None:
    """Print what happened to the job."""
    with Client() as client:
        found = client.job(job).events()
    if as_json:
        print_json(found)
        sys.exit(0)
    for event in found:
        details = "  ".join(f"{name}={value}" for name, value in event["data"].items())
        click.echo(f"{when(event['at'])}  {event['type']:<22} {details}")
