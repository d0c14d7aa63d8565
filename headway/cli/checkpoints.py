"""`headway checkpoints`."""

from __future__ import annotations

from typing import Any

import click

from headway.cli.common import json_option, print_json, print_table, when
from headway.cli.names import job_argument
from headway.client import Client
from headway.core.checkpoint_name import checkpoint_name
from headway.core.size import size

_SHOWN_METRICS = 3


@click.command()
@job_argument
@json_option
def checkpoints(job: str, as_json: bool) -> None:
    """List a job's checkpoints. Its next attempt, or a fork, can start from them."""
    with Client() as client:
        handle = client.job(job)
        found = handle.checkpoints()
    if as_json:
        print_json(found)
    elif not found:
        click.echo("No checkpoints. Built-in trainers save automatically, scripts with `headway.run().save(...)`.")
    else:
        print_table(("STEP", "SAVED", "SIZE", "ATTEMPT", "STATE", "METRICS"), map(_row, found))
        complete = [one["step"] for one in found if one["complete"]]
        if complete:
            name = handle.name
            click.echo(f"Next: headway rerun {name} --from-checkpoint {name}@{complete[-1]}", nl=False)
            click.echo(f"   headway download {name} --checkpoint {complete[-1]}")


def _row(checkpoint: dict[str, Any]) -> tuple[str, ...]:
    metrics = sorted(checkpoint["metrics"].items(), key=lambda one: (not one[0].startswith("validation/"), one[0]))
    return (
        checkpoint_name(checkpoint["step"], counted=True) if checkpoint["counted"] else f"{checkpoint['step']:,}",
        when(checkpoint["at"]),
        size(checkpoint["size_bytes"]),
        str(checkpoint["attempt"]),
        _state(checkpoint),
        "  ".join(f"{name} {value:.4g}" for name, value in metrics[:_SHOWN_METRICS]),
    )


def _state(checkpoint: dict[str, Any]) -> str:
    if not checkpoint["complete"]:
        return f"saving, {checkpoint['parts_stored']} of {checkpoint['world_size']} ranks"
    if checkpoint["job"] is not None:
        return f"of job {checkpoint['job']}"
    return f"complete, used by {', '.join(checkpoint['users'])}" if checkpoint["users"] else "complete"
