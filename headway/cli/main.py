"""`headway`: the command line."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from headway import __version__
from headway.cli.commands import COMMANDS, GROUPS, IN_A_PROJECT, MEANT
from headway.cli.group import Group
from headway.errors import HeadwayError, InvalidInput, SettingInvalid

_PROJECT = "project_name"


class _LazyGroup(Group):
    meant = MEANT

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].place.partition(":")
        command: click.Command = getattr(import_module(f"headway.cli.{module}"), name)
        if cmd_name in IN_A_PROJECT:
            _add_project(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), one.summary) for name, one in commands.items()])


def _add_project(command: click.Command) -> None:
    """Let a command, and those below it, take `--project`."""
    if all(option.name != _PROJECT for option in command.params):
        said = "The project.  [default: HEADWAY_PROJECT, else default, else your only one]"
        command.params.append(
            click.Option(["--project", _PROJECT], expose_value=False, callback=_use_project, metavar="NAME", help=said)
        )
    if isinstance(command, click.Group):
        for one in command.commands.values():
            _add_project(one)


def _use_project(context: click.Context, option: click.Parameter, value: str | None) -> None:
    if value:
        os.environ["HEADWAY_PROJECT"] = value


def _colour() -> bool | None:
    """Whether to use colours: NO_COLOR and FORCE_COLOR decide (https://no-color.org), else None: on a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "color": _colour()})
@click.version_option(__version__, prog_name="headway")
def cli() -> None:
    """Train models on the machines you have.

    Start with `headway up`. Then, in another terminal:
    `headway train cnn --dataset mnist --world-size 2`
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line. Exit status: 0 done, 1 failed, 2 wrong usage, 3 the followed job was cancelled.

    docs/reference/command-line.md has the same list for users.
    """
    try:
        return cli.main(arguments, prog_name="headway", standalone_mode=True)
    except HeadwayError as error:
        click.secho(f"Error: {error}", err=True, fg="red", color=_colour())
        sys.exit(2 if isinstance(error, InvalidInput | SettingInvalid) else 1)
