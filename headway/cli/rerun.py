"""`headway rerun`: submit a job's spec again, with changes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from headway.cli.common import when
from headway.cli.names import job_argument
from headway.cli.train import (
    ProgramCommand,
    follow_or_detach,
    job_fields,
    job_options,
    print_plan,
    work_fields,
    work_options,
)
from headway.cli.values import text_pair, typed_as


class _WithArguments(ProgramCommand):
    """Notes whether there is a `--`. With nothing after it the new job has no arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["arguments_given"] = "--" in args
        return super().parse_args(ctx, args)


@click.command(cls=_WithArguments)
@job_argument
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--fresh", is_flag=True, help="Send the files as they are now. Default: those that the job had.")
@click.option("--workdir", type=click.Path(path_type=Path), help="What --fresh sends.  [default: this directory]")
@click.option("--unset", "unset_parameters", multiple=True, metavar="NAME", help="Remove a parameter.")
@click.option("--unset-env", "unset_env", multiple=True, metavar="NAME", help="Remove a variable.")
@work_options
@job_options
@click.pass_context
def rerun(
    ctx: click.Context,
    /,
    job: str,
    arguments: tuple[str, ...],
    fresh: bool,
    workdir: Path | None,
    unset_parameters: tuple[str, ...],
    unset_env: tuple[str, ...],
    detach: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Submit a job again, with changes, and follow it. Options that you leave out stay as they were.

    It runs the files that the job had; with --fresh, those of this directory.
    Arguments after -- replace those of a script or module, and the whole command of a command. The job starts from the
    beginning, unless you give --from-checkpoint. An empty value removes a label: --label NAME=

    \b
    headway rerun my-job --fresh
    headway rerun my-job --name again -- --learning-rate 0.01
    headway rerun my-job --env DEBUG=1 --set epochs=3 --world-size 4
    headway rerun my-job --from-checkpoint my-job@400 --unset-env DEBUG
    """
    from headway.client import Client

    labels = {name: value or None for name, value in (text_pair(one, "--label") for one in options["labels"])}
    changes = work_fields(options) | job_fields({**options, "labels": ()}) | ({"labels": labels} if labels else {})
    for field, names in (("parameters", unset_parameters), ("env", unset_env)):
        if names:
            changes[field] = {**dict.fromkeys(names), **changes.get(field, {})}
    with Client() as client:
        handle = client.job(job)
        before = handle.data["spec"]["parameters"]
        if "parameters" in changes:
            changes["parameters"] = {
                name: text if text is None else typed_as(before.get(name), text)
                for name, text in changes["parameters"].items()
            }
        if arguments or ctx.meta["arguments_given"]:
            changes["command" if handle.data["spec"]["command"] else "arguments"] = list(arguments)
        if fresh:
            changes["snapshot"] = client.fresh_snapshot(handle.data["spec"], workdir)
        elif handle.data["spec"]["snapshot"] and not as_json:
            sent = when(handle.data["created_at"])
            click.echo(
                f"The files are those that job {handle.name} had ({sent}). --fresh sends this directory.", err=True
            )
        if dry_run:
            print_plan(handle.plan_rerun(**changes), as_json)
            return
        sys.exit(follow_or_detach(handle.rerun(**changes), detach=detach, as_json=as_json))
