"""`headway goodput`."""

from __future__ import annotations

import click

from headway.cli.common import duration, json_option, print_json, print_table
from headway.client import Client


@click.command()
@click.option(
    "--days",
    type=click.FloatRange(min=0, min_open=True, max=3650),
    default=30,
    show_default=True,
    help="Only jobs submitted in the last DAYS.",
)
@json_option
def goodput(days: float, as_json: bool) -> None:
    """Show where the time of the jobs of the last days went.

    Useful: training that counts. Repeated: training that was done again after a failure. Startup: from a placement to
    the first step. The goodput is the useful share of these three.
    """
    with Client() as client:
        found = client.goodput(days)
    if as_json:
        print_json(found)
        return
    words = ("useful", "repeated", "startup", "waiting", "paused")
    print_table(
        ("JOBS", "GOODPUT", *(word.upper() for word in words)),
        [
            (
                str(found["jobs"]),
                "-" if found["fraction"] is None else f"{found['fraction']:.0%}",
                *(duration(found[f"{word}_seconds"]) for word in words),
            )
        ],
    )
