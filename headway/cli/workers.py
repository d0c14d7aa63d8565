"""`headway workers`."""

from __future__ import annotations

from typing import Any

import click

from headway.cli.common import json_option, print_json, print_table, size, when
from headway.client import Client


@click.command()
@json_option
def workers(as_json: bool) -> None:
    """List the workers and what is used of them."""
    with Client() as client:
        found = client.workers()
    if as_json:
        print_json(found)
    elif not found:
        click.echo("No worker is connected. Start one: headway worker --server URL --token-file FILE")
    else:
        print_table(("NAME", "SLOTS USED", "EACH SLOT", "CPU", "MEMORY", "JOBS", "ADDRESS", "SINCE"), map(_row, found))


def _row(worker: dict[str, Any]) -> tuple[str, ...]:
    load = worker["load"]
    memory = "-" if load is None else f"{size(load['memory_used_bytes'])} of {size(load['memory_bytes'])}"
    return (
        worker["name"],
        f"{worker['used_slots']} of {worker['slots']}",
        worker["accelerators"][0] if worker["accelerators"] else _threads(worker["threads_per_slot"]),
        "-" if load is None else f"{load['cpu_fraction']:.0%}",
        memory,
        ", ".join(f"{name} ({ranks})" for name, ranks in worker["ranks"].items()) or "-",
        worker["host"],
        when(worker["registered_at"]),
    )


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
