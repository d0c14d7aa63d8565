"""`headway workers`."""

from __future__ import annotations

import click

from headway.cli.common import json_option, print_json, print_table, when
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
        print_table(
            ("NAME", "SLOTS USED", "EACH SLOT", "ADDRESS", "SINCE"),
            (
                (
                    one["name"],
                    f"{one['used_slots']} of {one['slots']}",
                    one["accelerators"][0] if one["accelerators"] else f"{one['threads_per_slot']} threads",
                    one["host"],
                    when(one["registered_at"]),
                )
                for one in found
            ),
        )
