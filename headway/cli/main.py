"""`headway`: the commands, each imported only when it is used."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from headway import __version__
from headway.errors import HeadwayError

COMMANDS = {
    "up": ("headway.cli.up:up", "Start a server and a worker on this machine."),
    "server": ("headway.cli.up:server", "Start a server alone."),
    "worker": ("headway.cli.worker:worker", "Start a worker for a server."),
    "train": ("headway.cli.train:train", "Train a built-in model."),
    "run": ("headway.cli.train:run", "Run your own script, or any command."),
    "submit": ("headway.cli.train:submit", "Submit a job file."),
    "init": ("headway.cli.init:init", "Write a commented job file."),
    "jobs": ("headway.cli.jobs:jobs", "List jobs."),
    "show": ("headway.cli.jobs:show", "Show how a job stands, why, and what to do."),
    "follow": ("headway.cli.jobs:follow", "Follow a job until it ends."),
    "logs": ("headway.cli.streams:logs", "Print what a job printed."),
    "metrics": ("headway.cli.streams:metrics", "Print or plot a job's metrics."),
    "events": ("headway.cli.streams:events", "Print what happened to a job."),
    "download": ("headway.cli.jobs:download", "Download a job's model or files."),
    "predict": ("headway.cli.predict:predict", "Run a job's model on samples."),
    "checkpoints": ("headway.cli.checkpoints:checkpoints", "List what a job can go on from."),
    "pause": ("headway.cli.jobs:pause", "Pause a job: its ranks save and end."),
    "resume": ("headway.cli.jobs:resume", "Let a paused job continue."),
    "cancel": ("headway.cli.jobs:cancel", "End a job."),
    "kill": ("headway.cli.jobs:kill", "End a job without any grace."),
    "rerun": ("headway.cli.rerun:rerun", "Submit a job again, with changes."),
    "edit": ("headway.cli.jobs:edit", "Change a job's labels and notes."),
    "delete": ("headway.cli.jobs:delete", "Delete an ended job."),
    "exec": ("headway.cli.inquiries:execute", "Run a command beside a running rank."),
    "stacks": ("headway.cli.inquiries:stacks", "Print where a running job's ranks are."),
    "goodput": ("headway.cli.goodput:goodput", "Show where the time of all jobs went."),
    "workers": ("headway.cli.workers:workers", "List workers and what is used of them."),
    "datasets": ("headway.cli.datasets:datasets", "List, add and download datasets."),
    "trainers": ("headway.cli.datasets:trainers", "List the built-in trainers and their parameters."),
    "backup": ("headway.cli.backup:backup", "Write a whole installation to one file."),
    "restore": ("headway.cli.backup:restore", "Write a backup to an empty home or database."),
    "damaged": ("headway.cli.damaged:damaged", "List stored rows that cannot be read."),
    "migrate": ("headway.cli.migrate:migrate", "Bring the database up to date."),
    "doctor": ("headway.cli.doctor:doctor", "Find what is misconfigured, and say how to mend it."),
    "drill": ("headway.cli.drill:drill", "Strike a throw-away fleet and see whether everything holds."),
    "link": ("headway.cli.link:link", "Print a link that opens Headway in a browser."),
    "schema": ("headway.cli.init:schema", "Print the JSON schema of job files."),
    "completion": ("headway.cli.completion:completion", "Print a shell's completion."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, help) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            ctx.fail(f"There is no command {args[0]}.{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="headway")
def cli() -> None:
    """Train models on the machines you have.

    Begin with `headway up`, and in another terminal:
    `headway train cnn --dataset mnist --world-size 2`
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line. Exit status: 0 done, 1 failed, 2 wrong usage, 3 the followed job was cancelled.

    docs/reference/exit-status.md says the same to users.
    """
    try:
        return cli.main(arguments, prog_name="headway", standalone_mode=True)
    except HeadwayError as error:
        click.secho(f"Error: {error}", err=True, fg="red")
        sys.exit(2 if error.code in ("invalid_input", "setting_invalid") else 1)
