"""`headway exec` and `headway stacks`: looking into a running job."""

from __future__ import annotations

import sys

import click

from headway.cli.names import job_argument
from headway.cli.values import DURATION
from headway.client import Client


@click.command("exec")
@job_argument
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--rank", type=click.IntRange(0), default=0, show_default=True, help="Beside which rank.")
@click.option("--timeout", type=DURATION, default="60s", show_default=True, help="It is ended after that.")
def execute(job: str, command: tuple[str, ...], rank: int, timeout: float) -> None:
    """Run a command where a rank of a running job runs: in its directory, with its variables.

    headway exec my-job -- ls -l
    """
    with Client() as client:
        answer = client.job(job).execute(command, rank=rank, timeout_seconds=timeout)
    click.echo(answer["output"], nl=False)
    if answer["truncated"]:
        click.secho("(there was more output than is sent)", err=True, fg="yellow")
    if answer["error"]:
        click.secho(f"Error: {answer['error']}", err=True, fg="red")
    exit_code = answer["exit_code"]
    # A signal, as shells give it; no exit code at all: it could not be run.
    sys.exit(127 if exit_code is None else exit_code if exit_code >= 0 else 128 - exit_code)


@click.command()
@job_argument
def stacks(job: str) -> None:
    """Print where each rank of a running job is: the Python stacks of all its threads."""
    with Client() as client:
        click.echo(client.job(job).stacks(), nl=False)
