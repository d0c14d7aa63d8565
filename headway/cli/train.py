"""`headway train` and `headway run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from headway.cli.common import json_option, print_json


def _options(command: Any) -> Any:
    for option in (
        json_option,
        click.option("--detach", is_flag=True, help="Submit and return at once."),
        click.option("--priority", type=int, default=0, show_default=True, help="Higher is placed first."),
        click.option(
            "--retries", type=int, default=3, show_default=True, help="After ends that infrastructure caused."
        ),
        click.option("--world-size", type=click.IntRange(1), default=1, show_default=True, help="Ranks."),
        click.option("--name", help="The job's name.  [default: made up]"),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("trainer")
@click.option("--dataset", required=True, help="What to train on: mnist or digits.")
@click.option("--epochs", type=int, help="Passes over the training samples.")
@click.option("--set", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter; may be repeated.")
@_options
def train(trainer: str, dataset: str, epochs: int | None, parameters: tuple[str, ...], **options: Any) -> None:
    """Train a built-in model (mlp, lstm or cnn), and follow it.

    headway train cnn --dataset mnist --epochs 2 --world-size 2 --set batch_size=64
    """
    values = dict(_parameter(one) for one in parameters)
    if epochs is not None:
        values["epochs"] = epochs
    _submit({"trainer": trainer, "dataset": dataset, "parameters": values}, **options)


@click.command()
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@_options
def run(script: Path, arguments: tuple[str, ...], **options: Any) -> None:
    """Run your own script as torchrun would, and follow it. Its arguments come after --.

    headway run train.py --world-size 2 -- --learning-rate 0.1
    """
    from headway.client import read_script

    _submit({"script": read_script(script), "arguments": list(arguments)}, **options)


def _submit(
    work: dict[str, Any], name: str | None, world_size: int, retries: int, priority: int, detach: bool, as_json: bool
) -> None:
    from headway.client import Client

    spec = {**work, "name": name, "world_size": world_size, "retries": retries, "priority": priority}
    with Client() as client:
        job = client.submit(spec)
        if detach or as_json:
            if not detach:
                for _ in job.follow("events"):
                    pass
                job.refresh()
            if as_json:
                print_json(job.data)
            else:
                click.echo(f"Job {job.name} is submitted. Follow it with: headway follow {job.name}")
            sys.exit(exit_status(job.status))
        from headway.cli.follow import follow_job

        sys.exit(follow_job(job))


def exit_status(status: str) -> int:
    """The exit status that a job's status stands for."""
    return {"failed": 1, "cancelled": 3}.get(status, 0)


def _parameter(text: str) -> tuple[str, bool | int | float | str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--set")
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value
