"""`headway link`."""

from __future__ import annotations

import click

from headway.client import Client


@click.command()
def link() -> None:
    """Print a link that opens Headway in a browser. It works once, within ten minutes."""
    with Client() as client:
        click.echo(client.link())
