"""`headway logs`, `metrics`, `events`."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from headway.cli.common import json_option, print_json, print_table, when
from headway.client import Client


@click.command()
@click.argument("job")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option("--rank", type=click.IntRange(0), help="Only this rank.")
@click.option("--attempt", type=click.IntRange(1), help="Only this attempt.")
@json_option
def logs(job: str, follow: bool, rank: int | None, attempt: int | None, as_json: bool) -> None:
    """Print what the job's ranks have printed."""
    with Client() as client:
        handle = client.job(job)
        several = handle.data["spec"]["world_size"] > 1

        def show(line: dict[str, Any]) -> None:
            if (rank is None or line["rank"] == rank) and (attempt is None or line["attempt"] == attempt):
                prefix = click.style(f"[{line['rank']}] ", fg="bright_black") if several else ""
                click.echo(json.dumps(line) if as_json else f"{prefix}{line['text']}")

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


@click.command()
@click.argument("job")
@click.option("--name", "names", multiple=True, help="Only this series; may be repeated.")
@click.option("--attempt", type=click.IntRange(1), help="The newest if not given.")
@click.option("--points", type=click.IntRange(2), default=1000, show_default=True, help="Points per series at most.")
@json_option
def metrics(job: str, names: tuple[str, ...], attempt: int | None, points: int, as_json: bool) -> None:
    """Print the newest value and the extremes of each metric; all points with --json."""
    with Client() as client:
        series = client.job(job).metrics(names, attempt, points)
    if as_json:
        print_json(series)
        return
    if not series:
        click.echo("No metrics. A script records them with `headway.run().log(step, loss=...)`.")
        return
    rows = []
    for one in series:
        numbers = [value for value in one["values"] if isinstance(value, float)] or [float("nan")]
        last = one["values"][-1]
        rows.append(
            (
                one["name"],
                str(one["rank"]),
                f"{one['count']:,}",
                f"{one['steps'][-1]:,}",
                f"{last:.5g}" if isinstance(last, float) else last,
                f"{min(numbers):.5g}",
                f"{max(numbers):.5g}",
            )
        )
    print_table(("METRIC", "RANK", "POINTS", "STEP", "LAST", "LEAST", "GREATEST"), rows)


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
