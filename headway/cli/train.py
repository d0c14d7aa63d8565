"""`headway train`, `headway run` and `headway submit`: three commands that submit a job."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from headway.cli.common import EXIT_STATUS, json_option, print_json
from headway.cli.names import complete_datasets, complete_trainers
from headway.cli.values import BYTES, DURATION, WORLD_SIZE, pair, text_pair
from headway.core.size import counted

_EARLIER_OPTIONS = {"--data": "--dataset"}
_MERGED = ("labels", "where", "checkpoints")
"""Mappings of a job file that options change entry by entry."""


class ProgramCommand(click.Command):
    """A command whose arguments after `--` belong to the program. An error tells so when they come before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, with earlier names of options."""
        own = args.index("--") if "--" in args else len(args)
        args = [*map(_renamed_option, args[:own]), *args[own:]]
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise click.UsageError(
                f"{error.format_message()} Arguments of your own program come after --, as in: "
                f"headway {ctx.info_name} ... -- {error.option_name} ...",
                ctx,
            ) from error


def _renamed_option(word: str) -> str:
    option, equals, value = word.partition("=")
    if option not in _EARLIER_OPTIONS:
        return word
    _note_earlier_name(option, _EARLIER_OPTIONS[option])
    return f"{_EARLIER_OPTIONS[option]}{equals}{value}"


def _note_earlier_name(earlier: str, name: str) -> None:
    click.echo(f"Note: {earlier} is now called {name}. The earlier name still works.", err=True)


def job_options(command: Any) -> Any:
    """Add the options of every command that submits a job."""
    for option in (
        json_option,
        click.option("--dry-run", is_flag=True, help="Check the job, and tell where it would run or why it waits."),
        click.option("-d", "--detach", is_flag=True, help="Submit and return at once."),
        click.option("--notes", help="Free text for people."),
        click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label to find it by."),
        click.option("--timeout", type=DURATION, help="Time limit, such as 90s, 30m, 2h.  [default: none]"),
        click.option("--priority", type=int, help="Higher is placed first.  [default: 0]"),
        click.option("--retries", type=click.IntRange(0), help="After failures of infrastructure.  [default: 3]"),
        click.option("--where", multiple=True, metavar="NAME=VALUE", help="A label that each worker must have."),
        click.option("--engine", help="Where its workers come from.  [default: as the server says, mostly the fleet]"),
        click.option("--ranks-per-worker", type=click.IntRange(1), help="The exact number of ranks on each worker."),
        click.option("--from-checkpoint", metavar="JOB[@STEP]", help="Start from a checkpoint of another job."),
        click.option("--save-every", type=DURATION, help="Save after this time, such as 10m.  [default: 60s]"),
        click.option("--save-steps", type=click.IntRange(1), help="Save every N steps.", metavar="N"),
        click.option("-w", "--world-size", type=WORLD_SIZE, help="Number of ranks, such as 4 or 2-8.  [default: 1]"),
        click.option("-n", "--name", help="The job's name.  [default: generated]"),
    ):
        command = option(command)
    return command


def work_options(command: Any) -> Any:
    """Add the options of commands that submit scripts, modules and commands."""
    for option in (
        click.option("--memory", type=BYTES, help="Memory that each rank may use, such as 4g.  [default: no limit]"),
        click.option("--metric", "metrics", multiple=True, metavar="NAME=REGEX", help="A metric in the log's lines."),
        click.option(
            "--output", "outputs", multiple=True, metavar="GLOB", help="Files of the working directory to keep."
        ),
        click.option("--python", metavar="PATH", help="A Python interpreter on the workers.  [default: theirs]"),
        click.option(
            "--lock", metavar="FILE", help="requirements.txt, pylock.toml or uv.lock in the working directory."
        ),
        click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="An environment variable of the ranks."),
        click.option(
            "--set", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter; ranks get it as a variable."
        ),
        click.option(
            "--dataset",
            metavar="DATASET",
            shell_complete=complete_datasets,
            help="A dataset, as a directory for the ranks.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("trainer", shell_complete=complete_trainers)
@click.option("--dataset", required=True, shell_complete=complete_datasets, help="Such as mnist or digits.")
@click.option("--epochs", type=int, help="Passes over the training samples.")
@click.option("--set", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter; may be repeated.")
@job_options
def train(trainer: str, dataset: str, epochs: int | None, parameters: tuple[str, ...], **options: Any) -> None:
    """Train a built-in model (mlp, lstm or cnn), and follow it.

    headway train cnn --dataset mnist --epochs 2 --world-size 2 --set batch_size=64
    """
    values: dict[str, int | str] = dict(text_pair(one, "--set") for one in parameters)
    if epochs is not None:
        values["epochs"] = epochs
    _submit(lambda _client: {"trainer": trainer, "dataset": dataset, "parameters": values}, **options)


@click.command(cls=ProgramCommand)
@click.argument("program")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--module", "-m", "is_module", is_flag=True, help="PROGRAM is a Python module, such as package.train.")
@click.option("--workdir", type=click.Path(path_type=Path), help="The directory to send.  [default: this one]")
@work_options
@job_options
def run(program: str, arguments: tuple[str, ...], is_module: bool, **options: Any) -> None:
    """Run your own script as torchrun would, or any command, and follow it. Its arguments come after --.

    \b
    headway run train.py --world-size 2 -- --learning-rate 0.1
    headway run -m package.train -- --learning-rate 0.1
    headway run -- ./prepare.sh --fast
    """
    workdir, lock, work = options.pop("workdir"), options["lock"], work_fields(options)

    def spec(client: Any) -> dict[str, Any]:
        if is_module:
            return {**client.module_spec(program, workdir, lock), "arguments": list(arguments), **work}
        if program.endswith(".py"):
            return {**client.script_spec(program, workdir, lock), "arguments": list(arguments), **work}
        return {**client.command_spec([program, *arguments], workdir, lock), **work}

    _submit(spec, **options)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@job_options
def submit(file: Path, **options: Any) -> None:
    """Submit the job that a YAML or JSON file describes, and follow it. `headway init` writes such a file."""
    _submit(lambda client: client.file_spec(file), file, **options)


def work_fields(options: dict[str, Any]) -> dict[str, Any]:
    """The fields of a spec that scripts and commands have. Removes them from the options."""
    lock, python = options.pop("lock"), options.pop("python")
    fields = {
        "dataset": options.pop("dataset"),
        "parameters": dict(text_pair(one, "--set") for one in options.pop("parameters")),
        "env": dict(text_pair(one, "--env") for one in options.pop("env")),
        "outputs": list(options.pop("outputs")),
        "metrics": dict(text_pair(one, "--metric") for one in options.pop("metrics")),
        "memory_bytes": options.pop("memory"),
        "environment": {name: value for name, value in (("lock", lock), ("python", python)) if value},
    }
    return {name: value for name, value in fields.items() if value}


def job_fields(options: dict[str, Any]) -> dict[str, Any]:
    """The fields of a spec that all jobs have, for the options that were given."""
    fields = {name: value for name, value in options.items() if name not in ("timeout", "save_steps", "save_every")}
    fields["timeout_seconds"] = options["timeout"]
    fields["labels"] = dict(pair(one, "--label") for one in options["labels"])
    fields["where"] = dict(pair(one, "--where") for one in options["where"])
    saving = {"every_steps": options["save_steps"], "every_seconds": options["save_every"]}
    fields["checkpoints"] = {name: value for name, value in saving.items() if value is not None}
    return {name: value for name, value in fields.items() if value is not None and value != {}}


def _submit(
    make_spec: Callable[[Any], dict[str, Any]],
    file: Path | None = None,
    *,
    detach: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Submit the spec that `make_spec` makes, changed by the options. `file`: the job file, which errors name."""
    from headway.client import Client
    from headway.core.spec_names import EARLIER_NAMES, renamed_fields
    from headway.errors import InvalidInput

    given = job_fields(options)
    with Client() as client:
        spec = make_spec(client)
        for earlier in EARLIER_NAMES.keys() & spec.keys():
            _note_earlier_name(earlier, EARLIER_NAMES[earlier])
        spec = renamed_fields(spec)
        for name, value in given.items():
            spec[name] = {**spec.get(name, {}), **value} if name in _MERGED else value
        try:
            plan, job = (client.plan(spec), None) if dry_run else (None, client.submit(spec))
        except InvalidInput as error:
            if file is None or any(at.partition(".")[0] in given for at in error.fields):
                raise
            raise InvalidInput(f"Job file {file}: {error.message}") from error
        if plan is not None:
            print_plan(plan, as_json)
        else:
            sys.exit(follow_or_detach(job, detach=detach, as_json=as_json))


def follow_or_detach(job: Any, *, detach: bool, as_json: bool) -> int:
    """Follow a job that was just submitted, or detach; the exit status."""
    if not detach and not as_json:
        from headway.cli.follow import follow_job

        return follow_job(job)
    if not detach:
        for _ in job.follow("events"):
            pass
        job.refresh()
    if as_json:
        print_json(job.data)
    else:
        click.echo(f"Job {job.name} is submitted. {job.data['sentence']}".rstrip())
        click.echo(f"Follow it with: headway follow {job.name}")
    return EXIT_STATUS.get(job.status, 0)


def print_plan(plan: dict[str, Any], as_json: bool) -> None:
    """Where a job would run, or why it would wait."""
    if as_json:
        print_json(plan)
        return
    click.echo(f"The job is valid. {plan['sentence']}")
    for worker, ranks in plan["workers"].items():
        click.echo(f"  {counted(ranks, 'rank')} on worker {worker}")
    if plan["cold"]:
        click.echo(f"Its ranks start cold: {plan['cold']}.")
