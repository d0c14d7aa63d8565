"""`headway damaged`."""

from __future__ import annotations

import click

from headway.cli.common import answer, json_option, print_json, print_table
from headway.cli.group import Group
from headway.client import Client

_KINDS = ("job", "attempt", "checkpoint", "event", "report", "worker", "dataset")


@click.group(cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def damaged(context: click.Context, as_json: bool) -> None:
    """List stored rows that cannot be read, or delete one. All other lists leave them out."""
    if context.invoked_subcommand is not None:
        return
    with Client() as client:
        found = client.damaged()
    if as_json:
        print_json(found)
    elif not found:
        click.echo("No damaged rows. The server reads all jobs when it starts, and once an hour.")
    else:
        print_table(
            ("KIND", "ID", "NAME", "REASON"), ((one["kind"], one["id"], one["name"], one["reason"]) for one in found)
        )
        click.echo("Restore a backup, or delete one: headway damaged delete KIND ID")


@damaged.command()
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("row_id", metavar="ID")
@click.confirmation_option("--yes", prompt="Delete the row? A job is deleted with its logs, metrics and files.")
@json_option
def delete(kind: str, row_id: str, as_json: bool) -> None:
    """Delete a damaged row. A job is deleted with its logs, metrics and files."""
    with Client() as client:
        client.delete_damaged(kind, row_id)
    answer({"kind": kind, "id": row_id}, f"The damaged row of {kind} {row_id} is deleted.", as_json=as_json)
