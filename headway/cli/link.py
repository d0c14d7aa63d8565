"""`headway link`."""

from __future__ import annotations

import click

from headway.cli.common import answer, json_option
from headway.client import Client


@click.command()
@json_option
def link(as_json: bool) -> None:
    """Print a link that opens Headway in a browser. It works once, within ten minutes."""
    with Client() as client:
        url = client.link()
    answer({"url": url}, url, as_json=as_json)
