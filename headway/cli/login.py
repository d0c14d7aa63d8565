"""`headway login`, `headway logout` and `headway whoami`."""

from __future__ import annotations

import sys

import click

from headway.cli.common import answer, json_option, print_json
from headway.client import Client
from headway.client.connection import client_home
from headway.client.logins import Login, forget_login, store_login, stored_login
from headway.errors import InvalidInput, NotFound


@click.command()
@click.argument("url")
@json_option
def login(url: str, as_json: bool) -> None:
    """Use the server at URL from now on, with a token of yours. It is asked for, or read from standard input.

    An administrator makes your first one: headway tokens add NAME --user YOU
    """
    token = click.prompt("Token", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    if not token.strip():
        raise InvalidInput("There is no token. Give it on standard input, or when you are asked for it.")
    url = url.rstrip("/")
    with Client(url, token.strip()) as client:
        account = client.whoami()
    store_login(client_home(), Login(url, token.strip()))
    answer(account, f"You use {url} as {_name(account)}.", as_json=as_json)


@click.command()
@json_option
def logout(as_json: bool) -> None:
    """Revoke the token of `headway login`, and forget it."""
    found = stored_login(client_home())
    if found is None:
        raise NotFound("You are not logged in.")
    try:
        with Client(found.url, found.token) as client:
            client.accounts.revoke_own_token()
    finally:
        forget_login(client_home())
    answer({"url": found.url}, f"You are logged out of {found.url}.", as_json=as_json)


@click.command()
@json_option
def whoami(as_json: bool) -> None:
    """Print who you are at which server, and what you may do."""
    with Client() as client:
        account = client.whoami()
        projects = client.accounts.projects()
    if as_json:
        print_json(account)
        return
    click.echo(f"{_name(account)} at {client.url}")
    user = account["user"]
    if user is None or user["admin"]:
        click.echo(f"Administrator. Projects: {', '.join(one['name'] for one in projects)}")
    else:
        roles = ", ".join(f"{role} of {project}" for project, role in user["roles"].items())
        click.echo(f"Roles: {roles or 'none'}")
    if account["scopes"] is not None:
        only = f", in project {account['project']} only" if account["project"] else ""
        click.echo(f"This token allows: {', '.join(account['scopes'])}{only}")


def _name(account: dict[str, object]) -> str:
    user = account["user"]
    return str(user["name"]) if isinstance(user, dict) else "the owner of the server's home"
