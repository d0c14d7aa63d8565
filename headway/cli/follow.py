"""Following a job: a bar with its progress, its output above the bar, and at last its end."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.text import Text

from headway.cli.common import EXIT_STATUS, duration, print_text, status_text
from headway.cli.job_sections import print_failure, print_result, print_stages
from headway.cli.job_words import ran_seconds
from headway.cli.next_commands import next_commands, print_commands, print_next
from headway.client import JobHandle
from headway.client.control_sequences import without_controls
from headway.client.terminal_progress import show_in_terminal


def follow_job(job: JobHandle) -> int:
    """Follow until the job ends; its exit status. Ctrl-C detaches, and the job continues."""
    console = Console(highlight=False)
    console.print(Text.assemble("Job ", (job.name, "bold"), f"  ({job.id})"))
    _print_waiting(job)
    try:
        show_in_terminal(job, console)
    except KeyboardInterrupt:
        console.print(
            f"Detached; the job continues. Come back: headway follow {job.name}. End it: headway cancel {job.name}",
            soft_wrap=True,
        )
        return 0
    job.refresh()
    print_end(job)
    return EXIT_STATUS.get(job.status, 0)


def print_messages(job: JobHandle) -> int:
    """Print everything that happens to the job as lines of JSON; its exit status."""
    try:
        for message in job.follow():
            click.echo(json.dumps({"kind": message.kind, **message.data}))
    except KeyboardInterrupt:
        return 0
    return EXIT_STATUS.get(job.refresh().status, 0)


def _print_waiting(job: JobHandle) -> None:
    """Why the job waits, if it does, and which commands help."""
    data = job.refresh().data
    if job.status == "queued" and not (data["waiting"] and data["waiting"]["about_to_be_placed"]):
        print_text(data["sentence"])
        print_commands(next_commands(data))


def print_end(job: JobHandle) -> None:
    """How the job ended, its figures and stages, and the next commands. Its log was printed before."""
    data = job.data
    ran = ran_seconds(data)
    took = "" if ran is None else f" It ran {duration(ran)}."
    print_text(f"{job.name} {status_text(data['status'])}. {without_controls(data['sentence'])}{took}")
    print_failure(data, log_shown=True)
    print_result(data)
    print_stages(data)
    print_next(data)
