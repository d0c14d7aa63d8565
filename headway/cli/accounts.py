"""`headway users`, `headway projects` and `headway audit`."""

from __future__ import annotations

from typing import Any

import click

from headway.cli.common import answer, json_option, print_json, print_table, when
from headway.cli.group import Group
from headway.client import Client

_ROLE = click.Choice(["viewer", "member"])


@click.group(cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def projects(context: click.Context, as_json: bool) -> None:
    """List your projects, or add one."""
    if context.invoked_subcommand is not None:
        return
    with Client() as client:
        found = client.accounts.projects()
    if as_json:
        print_json(found)
    else:
        print_table(("NAME", "MADE"), ((one["name"], when(one["created_at"])) for one in found))


@projects.command("add")
@click.argument("name")
@json_option
def add_project(name: str, as_json: bool) -> None:
    """Add a project. Administrators only."""
    with Client() as client:
        added = client.accounts.add_project(name)
    sentence = f"Project {name} is added. Give users a role: headway users role USER {name} member"
    answer(added, sentence, as_json=as_json)


@click.group(cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def users(context: click.Context, as_json: bool) -> None:
    """List users, add and change them. Administrators only."""
    if context.invoked_subcommand is not None:
        return
    with Client() as client:
        found = client.accounts.users()
    if as_json:
        print_json(found)
    elif not found:
        click.echo("No users yet. Whoever has the home's user.token may do everything. Add one: headway users add NAME")
    else:
        print_table(("NAME", "KIND", "ROLES", "ADDED"), map(_user_row, found))


def _user_row(user: dict[str, Any]) -> tuple[str, ...]:
    kind = "service" if user["service"] else "person"
    roles = [f"{role} of {project}" for project, role in user["roles"].items()]
    if user["admin"]:
        roles = ["administrator", *roles]
    return (
        user["name"],
        f"{kind}, disabled" if user["disabled"] else kind,
        ", ".join(roles) or "-",
        when(user["created_at"]),
    )


@users.command("add")
@click.argument("name")
@click.option("--project", help="Give a role in this project.")
@click.option("--role", type=_ROLE, default="member", show_default=True, help="The role in the project.")
@click.option("--admin", is_flag=True, help="Make the user an administrator.")
@click.option("--service", is_flag=True, help="A program's account, which cannot log in.")
@json_option
def add_user(name: str, project: str | None, role: str, admin: bool, service: bool, as_json: bool) -> None:
    """Add a user."""
    with Client() as client:
        added = client.accounts.add_user(name, roles={project: role} if project else {}, admin=admin, service=service)
        link = None if service else client.url + str(client.accounts.invite(name)["path"])
    token = f"headway tokens add NAME --user {name}"
    if link is None:
        sentence = f"User {name} is added. Make a token for it: {token}"
    else:
        sentence = f"User {name} is added. This link sets the password, once within a week: headway login '{link}'"
    answer({**added, "link": link}, sentence, as_json=as_json)


@users.command("invite")
@click.argument("name")
@json_option
def invite_user(name: str, as_json: bool) -> None:
    """Print a link with which a user sets a new password. It works once, within a week."""
    with Client() as client:
        invited = client.accounts.invite(name)
        link = client.url + str(invited["path"])
    answer({"link": link, "expires_at": invited["expires_at"]}, link, as_json=as_json)


@users.command("change")
@click.argument("name")
@click.option("--admin/--no-admin", default=None, help="Whether the user is an administrator.")
@click.option("--disabled/--enabled", default=None, help="Whether the user and all of its tokens are refused.")
@click.option("--end-sessions", is_flag=True, help="End the sessions that are open in browsers.")
@json_option
def change_user(name: str, admin: bool | None, disabled: bool | None, end_sessions: bool, as_json: bool) -> None:
    """Change a user. The change works at once, also for open streams."""
    with Client() as client:
        found = client.accounts.change_user(name, admin=admin, disabled=disabled, end_sessions=end_sessions)
    answer(found, f"User {name} is changed.", as_json=as_json)


@users.command("role")
@click.argument("name")
@click.argument("project")
@click.argument("role", type=click.Choice(["viewer", "member", "none"]))
@json_option
def change_role(name: str, project: str, role: str, as_json: bool) -> None:
    """Give a user a role in a project, or take it away. The change works at once."""
    with Client() as client:
        if role == "none":
            found = client.accounts.take_role(name, project)
        else:
            found = client.accounts.give_role(name, project, role)
    said = "no role" if role == "none" else f"the role {role}"
    answer(found, f"User {name} has {said} in project {project}.", as_json=as_json)


@users.command("delete")
@click.argument("name")
@json_option
def delete_user(name: str, as_json: bool) -> None:
    """Delete a user with all tokens. Jobs stay."""
    with Client() as client:
        client.accounts.delete_user(name)
    answer({"name": name}, f"User {name} is deleted.", as_json=as_json)


@click.command()
@click.option("--of", "of_project", metavar="PROJECT", help="Only actions in this project.")
@click.option("--user", help="Only actions of this user.")
@click.option(
    "-n",
    "--limit",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=100,
    show_default=True,
    help="At most N entries, newest first.",
)
@json_option
def audit(of_project: str | None, user: str | None, limit: int, as_json: bool) -> None:
    """List changes with their authors, and refused actions. Administrators only."""
    with Client() as client:
        found = client.accounts.audit(project=of_project, user=user, limit=limit)
    if as_json:
        print_json(found)
        return
    headings = ("WHEN", "USER", "TOKEN", "FROM", "ACTION", "PROJECT", "WHAT", "OUTCOME")
    print_table(headings, map(_entry_row, found), cut=("WHAT",), drop=("TOKEN", "FROM"))


def _entry_row(entry: dict[str, Any]) -> tuple[str, ...]:
    what = f"{entry['subject']}: {entry['detail']}" if entry["detail"] else entry["subject"]
    return (
        when(entry["at"]),
        entry["user"] or "-",
        entry["credential"] or "-",
        entry["address"] or "-",
        entry["action"],
        entry["project"] or "-",
        what,
        entry["outcome"],
    )
