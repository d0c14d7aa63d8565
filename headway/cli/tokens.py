"""`headway tokens`."""

from __future__ import annotations

from typing import Any

import click

from headway.cli.common import answer, json_option, print_json, print_table, when
from headway.cli.group import Group
from headway.client import Client


@click.group(cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def tokens(context: click.Context, as_json: bool) -> None:
    """List the valid tokens: their owners, and when they expire. Make and revoke them."""
    if context.invoked_subcommand is not None:
        return
    with Client() as client:
        found = client.tokens()
    if as_json:
        print_json(found)
        return
    print_table(("ID", "KIND", "OF", "ALLOWS", "MADE", "LAST USED", "ENDS"), map(_row, found))
    if any(token["id"] is None for token in found):
        click.echo("Tokens without an id are from an earlier version. They hold until they are revoked:")
        for token in found:
            if token["id"] is None and token["revoke"]:
                click.echo(f"  headway tokens revoke {token['revoke']}")


@tokens.command("add")
@click.argument("name")
@click.option("--user", help="Whose token it is.  [default: yours]")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(["read", "write", "fleet"]), help="What it allows.")
@click.option("--only", "project", metavar="PROJECT", help="The only project that it allows.")
@click.option("--join", is_flag=True, help="A token with which machines join as workers.")
@click.option("--uses", type=click.IntRange(1), help="How many machines may join by it.")
@click.option("--days", type=click.FloatRange(0, 36_500, min_open=True), help="When it ends.  [default: 90; to join 7]")
@click.option("--no-end", is_flag=True, help="It is valid until it is revoked.")
@json_option
def add(
    name: str,
    user: str | None,
    scopes: tuple[str, ...],
    project: str | None,
    join: bool,
    uses: int | None,
    days: float | None,
    no_end: bool,
    as_json: bool,
) -> None:
    """Make a token. Its text is printed this once, alone on standard output."""
    if join and (user or scopes or project):
        raise click.UsageError("A token with --join is no user's: leave out --user, --scope and --only.")
    if uses and not join:
        raise click.UsageError("--uses counts machines that join: give --join, too.")
    lasts = None if no_end else days or (7 if join else 90)
    with Client() as client:
        if join:
            made = client.accounts.add_join_token(name, days=lasts, maximum_uses=uses)
        else:
            made = client.accounts.add_token(
                name, user=user, scopes=scopes or ("read", "write"), project=project, days=lasts
            )
    if as_json:
        print_json(made)
        return
    end = f"until {when(made['expires_at'])}" if made["expires_at"] else "until it is revoked"
    click.echo(f"Token {made['id']} is valid {end}. It is not shown again:", err=True)
    click.echo(made["text"])


@tokens.command("revoke")
@click.argument("token")
@json_option
def revoke(token: str, as_json: bool) -> None:
    """Revoke a token by its id. One of the server's home is replaced there by a new one."""
    with Client() as client:
        client.accounts.revoke_token(token)
    answer({"id": token}, f"Token {token} is revoked.", as_json=as_json)


def _row(token: dict[str, Any]) -> tuple[str, ...]:
    attempt = f"attempt {token['attempt']} of {token['job']}" if token["job"] else ""
    owner = token["user"] or token["worker"] or attempt or "-"
    return (
        token["id"] or "without id",
        token["kind"],
        f"{owner}: {token['name']}" if token["name"] else owner,
        _allows(token),
        when(token["made_at"]),
        when(token["used_at"]),
        f"with its {token['ends_with']}"
        if token["ends_with"]
        else when(token["expires_at"])
        if token["expires_at"]
        else "never",
    )


def _allows(token: dict[str, Any]) -> str:
    if token["uses"] is not None:
        most = f" of {token['maximum_uses']}" if token["maximum_uses"] else ""
        return f"to join ({token['uses']}{most})"
    only = f" in {token['project']}" if token["project"] else ""
    return f"{', '.join(token['scopes'])}{only}" if token["scopes"] else "-"
