"""Which commands help, as a job stands."""

from __future__ import annotations

from typing import Any

import click

from headway.cli.original_command import original_command


def print_next(data: dict[str, Any]) -> None:
    """Commands that help from here; after a failure also the one that runs the files as they are then."""
    if data["status"] == "failed" and data["blame"] == "user":
        again = original_command(data["spec"])
        if again is not None:
            click.echo(f"After the fix: {again}")
    click.echo("Next: " + "   ".join(next_commands(data)))


def next_commands(data: dict[str, Any]) -> list[str]:
    """Commands that help from here."""
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
