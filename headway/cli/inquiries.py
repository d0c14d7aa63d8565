"""`headway exec` and `headway stacks`: look into a running job."""

from __future__ import annotations

import sys

import click

from headway.cli.common import json_option, print_json
from headway.cli.names import job_argument
from headway.cli.values import DURATION
from headway.client import Client


@click.command("exec")
@job_argument
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--rank", type=click.IntRange(0), default=0, show_default=True, help="The rank to run it beside.")
@click.option("--timeout", type=DURATION, default="60s", show_default=True, help="End the command after this time.")
@json_option
def execute(job: str, command: tuple[str, ...], rank: int, timeout: float, as_json: bool) -> None:
    """Run a command beside a rank of a running job: in its directory, with its variables.

    headway exec my-job -- ls -l
    """
    with Client() as client:
        answer = client.job(job).execute(command, rank=rank, timeout_seconds=timeout)
    if as_json:
        print_json(answer)
    else:
        click.echo(answer["output"], nl=False)
        if answer["truncated"]:
            click.secho("(the rest of the output was cut off)", err=True, fg="yellow")
        if answer["error"]:
            click.secho(f"Error: {answer['error']}", err=True, fg="red")
    exit_code = answer["exit_code"]
    # As a shell: 128 and the number of a signal, and 127 for a command that could not be run.
    sys.exit(127 if exit_code is None else exit_code if exit_code >= 0 else 128 - exit_code)


@click.command()
@job_argument
@json_option
def stacks(job: str, as_json: bool) -> None:
    """Print where each rank of a running job is: the Python stacks of all its threads."""
    with Client() as client:
        found = client.job(job).stacks()
    if as_json:
        print_json({"stacks": found})
    else:
        click.echo(found, nl=False)
