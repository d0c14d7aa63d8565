"""`headway tokens`."""

from __future__ import annotations

from typing import Any

import click

from headway.cli.common import json_option, print_json, print_table, when
from headway.client import Client


@click.command()
@json_option
def tokens(as_json: bool) -> None:
    """List the tokens that hold: whose they are, and when they end. Their text is shown nowhere."""
    with Client() as client:
        found = client.tokens()
    if as_json:
        print_json(found)
        return
    print_table(("ID", "KIND", "OF", "MADE", "ENDS"), map(_row, found))
    if any(token["id"] is None for token in found):
        click.echo("Tokens without an id are from an earlier version. They keep working.")


def _row(token: dict[str, Any]) -> tuple[str, ...]:
    attempt = f"attempt {token['attempt']} of {token['job']}" if token["job"] else ""
    return (
        token["id"] or "without id",
        token["kind"],
        token["worker"] or attempt or "-",
        when(token["made_at"]),
        f"with its {token['ends_with']}"
        if token["ends_with"]
        else when(token["expires_at"])
        if token["expires_at"]
        else "never",
    )
