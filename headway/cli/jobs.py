"""`headway jobs`, `follow`, `cancel`, `kill`, `pause`, `resume`, `edit`, `delete` and `download`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from headway.cli.common import (
    STATUS_COLOURS,
    answer,
    damaged_rows,
    duration,
    figure,
    json_option,
    print_damaged,
    print_json,
    print_table,
    when_briefly,
)
from headway.cli.job_words import left_of, ranks_text, seconds_until_now, step_of
from headway.cli.names import job_argument
from headway.cli.values import MOMENT, Word, pair, text_pair
from headway.client import Client
from headway.core.status import shown_status


@click.command()
@click.option(
    "-s",
    "--status",
    multiple=True,
    metavar="STATUS",
    type=Word(tuple(STATUS_COLOURS)),
    help=f"Only jobs with this status; may be repeated. One of {', '.join(STATUS_COLOURS)}.",
)
@click.option("--name", default="", help="Only jobs whose name contains this.")
@click.option("--dataset", help="Only jobs on this dataset.")
@click.option(
    "-l", "--label", "labels", multiple=True, metavar="NAME=VALUE", help="Only jobs with this label; may be repeated."
)
@click.option("--after", type=MOMENT, help="Only jobs submitted after: 2h (ago), or a date and time.")
@click.option("--before", type=MOMENT, help="Only jobs submitted before this time.")
@click.option("--sort", type=Word(("created", "duration", "loss", "accuracy", "f1")), default="created",
              show_default=True, help="Loss, accuracy and F1 are those of the test.")  # fmt: skip
@click.option("--ascending", is_flag=True, help="Smallest first.")
@click.option(
    "-n", "--limit", type=click.IntRange(1), metavar="N", default=20, show_default=True, help="At most N jobs."
)
@json_option
def jobs(
    status: tuple[str, ...],
    name: str,
    dataset: str | None,
    labels: tuple[str, ...],
    after: float | None,
    before: float | None,
    sort: str,
    ascending: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List jobs, newest first unless sorted otherwise."""
    asked = dict(pair(one, "--label") for one in labels)
    with Client() as client:
        listed = client.jobs(
            status, limit, name=name, dataset=dataset, labels=asked, created_after=after, created_before=before,
            sort=sort, ascending=ascending,
        )  # fmt: skip
        found = [one.row for one in listed]
        damaged = [] if as_json else damaged_rows(client, "job")
    if as_json:
        print_json(found)
    elif not found and (status or name or dataset or labels or after or before):
        click.echo("No matching jobs. All jobs: headway jobs")
    elif not found:
        click.echo("No jobs yet. Submit one: headway train cnn --dataset mnist --world-size 2")
    else:
        headings = ("NAME", "STATUS", "RANKS", "WORK", "PROGRESS", "LEFT", "RAN", "SUBMITTED", "TEST ACCURACY")
        drop = ("TEST ACCURACY", "SUBMITTED", "RANKS")
        print_table(headings, map(_row, found), cut=("NAME", "WORK"), drop=drop, empty=("LEFT", "TEST ACCURACY"))
    print_damaged(damaged)


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    accuracy = row["test"].get("accuracy")
    return (
        row["name"],
        shown_status(row["status"], hold=row["hold"]),
        ranks_text(row["ranks"], row["world_size"]),
        f"{row['program']} on {row['dataset']}" if row["dataset"] else row["program"],
        step_of(row),
        left_of(row),
        duration(seconds_until_now(row["ran_seconds"], row["running_since"])),
        when_briefly(row["created_at"]),
        "-" if accuracy is None else figure(accuracy, ".2%"),
    )


@click.command()
@job_argument
@json_option
def follow(job: str, as_json: bool) -> None:
    """Follow a job until it ends. The exit status is that of the job. Ctrl-C detaches; the job continues.

    --json prints one document a line: events, and reports with log lines and metric points.
    """
    from headway.cli.follow import follow_job, print_messages

    with Client() as client:
        handle = client.job(job)
        sys.exit(print_messages(handle) if as_json else follow_job(handle))


@click.command()
@job_argument
@json_option
def cancel(job: str, as_json: bool) -> None:
    """End a job. Its ranks get SIGTERM, so that they can save, and SIGKILL a few seconds later."""
    _end(job, kill=False, as_json=as_json)


@click.command()
@job_argument
@json_option
def kill(job: str, as_json: bool) -> None:
    """End a job at once: its ranks get SIGKILL, without time to save anything."""
    _end(job, kill=True, as_json=as_json)


def _end(job: str, *, kill: bool, as_json: bool) -> None:
    with Client() as client:
        handle = client.job(job).cancel(kill=kill)
    if as_json:
        print_json(handle.data)
    else:
        click.echo(f"Job {handle.name} is {handle.status}.")


@click.command()
@job_argument
@json_option
def pause(job: str, as_json: bool) -> None:
    """Ask a job's ranks to save and end. Until `headway resume` the job uses no slots.

    A job that saves nothing starts from the beginning after that.
    """
    with Client() as client:
        handle = client.job(job).pause()
    if as_json:
        print_json(handle.data)
    else:
        click.echo(f"{handle.data['sentence']} Resume it with: headway resume {handle.name}")


@click.command()
@job_argument
@json_option
def resume(job: str, as_json: bool) -> None:
    """Let a paused job continue from its newest checkpoint; without one it starts from the beginning."""
    with Client() as client:
        handle = client.job(job).resume()
    if as_json:
        print_json(handle.data)
    else:
        where = handle.data["sentence"]
        click.echo(f"Job {handle.name} is queued again. {where} Follow it with: headway follow {handle.name}")


@click.command()
@job_argument
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Set a label; NAME= removes it.")
@click.option("--notes", help="Replace the notes.")
@json_option
def edit(job: str, labels: tuple[str, ...], notes: str | None, as_json: bool) -> None:
    """Change a job's labels and notes, whatever its status."""
    with Client() as client:
        handle = client.job(job)
        wanted = {**handle.data["labels"], **dict(text_pair(one, "--label") for one in labels)}
        handle.describe(labels={name: value for name, value in wanted.items() if value}, notes=notes)
    if as_json:
        print_json(handle.data)
    else:
        shown = "  ".join(f"{name}={value}" for name, value in handle.data["labels"].items())
        click.echo(f"Job {handle.name}: {shown or 'no labels'}")


@click.command()
@job_argument
@click.confirmation_option("--yes", prompt="Delete the job with its logs, metrics and files?")
@json_option
def delete(job: str, as_json: bool) -> None:
    """Delete an ended job with its logs, metrics and files."""
    with Client() as client:
        client.delete_job(job)
    answer({"deleted": job}, f"Job {job} is deleted.", as_json=as_json)


@click.command()
@job_argument
@click.argument("artifact", required=False)
@click.option("--to", type=click.Path(path_type=Path), help="Folder to write into.  [default: the job's name]")
@click.option("--checkpoint", type=click.IntRange(0), metavar="STEP", help="The checkpoint of that step instead.")
@json_option
def download(job: str, artifact: str | None, to: Path | None, checkpoint: int | None, as_json: bool) -> None:
    """Download one artifact, or `model` for the model's files, or everything."""
    if artifact is not None and checkpoint is not None:
        raise click.UsageError(f"Give the artifact {artifact} or --checkpoint {checkpoint}, not both.")
    with Client() as client:
        handle = client.job(job)
        paths = handle.download(artifact, to) if checkpoint is None else handle.download_checkpoint(checkpoint, to)
    if as_json:
        print_json([str(path) for path in paths])
    else:
        for path in paths:
            click.echo(path)
