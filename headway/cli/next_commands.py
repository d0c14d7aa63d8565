"""Which commands to run next, by a job's status."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import click

from headway.cli.original_command import original_command


def print_next(data: dict[str, Any], *, shown: str = "") -> None:
    """Commands that help now; after an error of the user's also the original command, which sends the fixed files.

    `shown` is the command that was just typed, which is not among them.
    """
    if data["status"] == "failed" and data["blame"] == "user":
        again = original_command(data["spec"])
        if again is not None:
            click.echo(f"After the fix: {again}")
    print_commands([one for one in next_commands(data) if not one.startswith(f"headway {shown} ")])


def print_commands(commands: list[str]) -> None:
    """On one line; on a terminal that is too narrow for it, each on its own."""
    line = "Next: " + "   ".join(commands)
    if sys.stdout.isatty() and len(line) > shutil.get_terminal_size().columns:
        line = "Next: " + "\n      ".join(commands)
    click.echo(line)


def next_commands(data: dict[str, Any]) -> list[str]:
    """Commands that help, by the status."""
    name = data["name"]
    match data["status"]:
        case "succeeded" if any(one["name"] == "card.json" for one in data["artifacts"]):
            return [f"headway download {name} model", f"headway metrics {name}", f"headway show {name}"]
        case "succeeded" if data["artifacts"]:
            return [f"headway download {name}", f"headway metrics {name}", f"headway show {name}"]
        case "succeeded" | "cancelled":
            return [f"headway logs {name}", f"headway show {name}"]
        case "failed":
            return [f"headway logs {name}", f"headway show {name}", f"headway rerun {name} --fresh"]
        case "queued" if data["hold"]:
            return [f"headway resume {name}", f"headway checkpoints {name}", f"headway cancel {name}"]
        case "queued":
            return ["headway workers", f"headway cancel {name}"]
        case _:
            return [f"headway follow {name}", f"headway logs -f {name}", f"headway cancel {name}"]
