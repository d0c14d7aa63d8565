"""`headway login`, `headway logout` and `headway whoami`."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import click
import httpx

from headway.cli.common import answer, json_option, print_json
from headway.client import Client
from headway.client.accounts import Accounts
from headway.client.connection import Connection, client_home, error_of
from headway.client.logins import Login, LoginAuth, TokenAuth, forget_login, login_of, store_login, stored_login
from headway.errors import InvalidInput, NotFound, Unavailable

_LOGIN_SECONDS = 30.0


@click.command()
@click.argument("url")
@click.option("--user", help="Log in with this user's password.")
@json_option
def login(url: str, user: str | None, as_json: bool) -> None:
    """Use the server at URL from now on.

    With --user a password is asked for, else the text of a token; both can come from standard input. A one-time link
    (`headway link`) in place of URL needs neither. With an invitation (`headway users invite`) you set your password.
    """
    parts = urlsplit(url)
    server, query = f"{parts.scheme}://{parts.netloc}{parts.path}", parse_qs(parts.query)
    if "invitation" in query:
        server = server.removesuffix("/login")
        proof = {"invitation": query["invitation"][0], "password": _asked("New password", confirmed=True)}
    elif "code" in query:
        server = server.removesuffix("/enter")
        proof = {"code": query["code"][0]}
    elif user is not None:
        proof = {"user": user, "password": _asked("Password")}
    else:
        proof = {}
    server = server.rstrip("/")
    found = _log_in(server, proof) if proof else Login(server, _asked("Token").strip())
    with Client(server, found.token) as client:
        account = client.whoami()
    store_login(client_home(), found)
    answer(account, f"You use {server} as {_name(account)}.", as_json=as_json)


def _asked(what: str, *, confirmed: bool = False) -> str:
    """A secret, from the terminal or standard input. Raises InvalidInput when there is none."""
    if sys.stdin.isatty():
        text = str(click.prompt(what, hide_input=True, confirmation_prompt=confirmed))
    else:
        text = sys.stdin.readline().rstrip("\r\n")
    if not text.strip():
        raise InvalidInput(f"There is no {what.lower()}. Give it on standard input, or when you are asked for it.")
    return text


def _log_in(server: str, proof: dict[str, str]) -> Login:
    """The login that the server gives for this proof. Raises the error that it names, Unavailable when none answers."""
    try:
        response = httpx.post(f"{server}/api/v1/session/tokens", json=proof, timeout=_LOGIN_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"No server answers at {server} ({error or type(error).__name__}).") from error
    if not response.is_success:
        raise error_of(response)
    return login_of(server, response.json())


@click.command()
@json_option
def logout(as_json: bool) -> None:
    """End the session of `headway login`, or revoke its token, and forget it."""
    found = stored_login(client_home())
    if found is None:
        raise NotFound("You are not logged in.")
    credential = LoginAuth(client_home(), found) if found.refresh_token else TokenAuth(found.token)
    connection = Connection(found.url, credential)
    try:
        Accounts(connection).revoke_own_token()
    finally:
        connection.http.close()
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
    click.echo(f"You are {_name(account)} at {client.url}.")
    user = account["user"]
    if user is None or user["admin"]:
        click.echo(f"Administrator. Projects: {', '.join(one['name'] for one in projects)}")
    else:
        roles = ", ".join(f"{role} of {project}" for project, role in user["roles"].items())
        click.echo(f"Roles: {roles or 'none'}")
    if account["scopes"] is not None:
        only = f", in project {account['project']} only" if account["project"] else ""
        click.echo(f"This token allows: {', '.join(account['scopes'])}{only}")


def _name(account: dict[str, Any]) -> str:
    user = account["user"]
    return str(user["name"]) if isinstance(user, dict) else "the owner of the server's home"
