"""`headway jobs`, `show`, `follow`, `cancel`, `delete`, `download`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from headway.cli.common import (
    duration,
    figure,
    json_option,
    print_damaged,
    print_json,
    print_table,
    shown_status,
    when,
    when_briefly,
    work_of,
)
from headway.cli.names import job_argument
from headway.cli.values import MOMENT, pair, text_pair
from headway.client import Client
from headway.client.control_sequences import without_controls
from headway.core.checkpoint_name import checkpoint_name
from headway.core.size import size

_SHOWN_SECONDS = 0.05


@click.command()
@click.option("--status", multiple=True, help="Only jobs with this status; may be repeated.")
@click.option("--name", default="", help="Only jobs with this in their name.")
@click.option("--dataset", help="Only jobs on this dataset.")
@click.option(
    "--label", "labels", multiple=True, metavar="NAME=VALUE", help="Only jobs with this label; may be repeated."
)
@click.option("--after", type=MOMENT, help="Only jobs submitted since: 2h (ago), or a date and time.")
@click.option("--before", type=MOMENT, help="Only jobs submitted before.")
@click.option("--sort", type=click.Choice(["created", "duration", "loss", "accuracy", "f1"]), default="created",
              show_default=True, help="Loss, accuracy and F1 are those of the test.")  # fmt: skip
@click.option("--ascending", is_flag=True, help="Least first.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
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
        found = [one.data for one in listed]
        damaged = [] if as_json else client.damaged("job")
    if as_json:
        print_json(found)
    elif not found and (status or name or dataset or labels or after or before):
        click.echo("No matching jobs. All jobs: headway jobs")
    elif not found:
        click.echo("No jobs yet. Submit one: headway train cnn --dataset mnist --world-size 2")
    else:
        headings = ("NAME", "STATUS", "RANKS", "WORK", "SUBMITTED", "RAN", "TEST ACCURACY")
        print_table(headings, map(_row, found), cut=("NAME", "WORK"), drop=("TEST ACCURACY", "SUBMITTED", "RANKS"))
    print_damaged(damaged)


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    work = work_of(job["spec"], arguments=False)
    ran = None if job["started_at"] is None else (job["ended_at"] or time.time()) - job["started_at"]
    test = (job["result"] or {}).get("test")
    accuracy = test.get("accuracy") if isinstance(test, dict) else None
    return (
        job["name"],
        shown_status(job),
        _ranks(job),
        work,
        when_briefly(job["created_at"]),
        duration(ran),
        "-" if accuracy is None else figure(accuracy, ".2%"),
    )


def _ranks(job: dict[str, Any]) -> str:
    """How many ranks the newest attempt has, of how many were asked for."""
    wanted = job["spec"]["world_size"]
    had = sum(one["rank_count"] for one in job["attempt"]["assignments"]) if job["attempt"] else wanted
    return str(wanted) if had == wanted else f"{had} of {wanted}"


@click.command()
@job_argument
@json_option
def show(job: str, as_json: bool) -> None:
    """Show a job: how it stands, why, and what to do."""
    with Client() as client:
        handle = client.job(job)
        attempts = handle.attempts()
        spent = handle.goodput()
    data = handle.data
    if as_json:
        print_json({**data, "attempts": attempts, "goodput": spent})
        return
    from headway.cli.follow import print_failure, print_result, print_stages
    from headway.cli.next_commands import print_next

    click.secho(data["name"], bold=True, nl=False)
    click.echo(f"  {data['id']}")
    print_table(("STATUS", "RANKS", "ATTEMPT", "SUBMITTED", "ENDED"), [_summary(data)])
    click.echo(f"\n{without_controls(data['sentence'])}")
    click.echo(f"It runs: {work_of(data['spec'])}")
    submitted_by = data.get("submitted_by") or {}
    if submitted_by.get("credential"):
        click.echo(f"Submitted with token {submitted_by['credential']}.")
    if data["cold"]:
        click.echo(f"Its ranks start cold, as new processes: {data['cold']}.")
    if data["labels"]:
        click.echo("Labels: " + "  ".join(f"{name}={value}" for name, value in data["labels"].items()))
    if data["notes"]:
        click.echo(f"Notes: {data['notes']}")
    print_failure(data)
    for warning in data["warnings"]:
        click.secho(f"Warning: {without_controls(warning)}", fg="yellow")
    if data["origin"]:
        origin = data["origin"]
        click.echo(f"Forked from checkpoint {origin['name']}@{origin['step']} (attempt {origin['attempt']}).")
    for attempt in attempts:
        _print_attempt(attempt)
    print_result(data)
    print_stages(data)
    if len(attempts) > 1 and spent["fraction"] is not None:
        words = ("useful", "repeated", "startup", "waiting", "paused")
        seconds = [(word, spent[f"{word}_seconds"]) for word in words]
        parts = "  ".join(f"{word} {duration(one)}" for word, one in seconds if one >= _SHOWN_SECONDS)
        click.echo(f"Goodput {spent['fraction']:.0%}: {parts}")
    complete = [checkpoint_name(one["step"], counted=one["counted"]) for one in data["checkpoints"] if one["complete"]]
    if complete:
        click.echo(f"Checkpoints: {', '.join(complete)}. More: headway checkpoints {data['name']}")
    for artifact in data["artifacts"]:
        link = f"  link to {artifact['link_to']}" if artifact["link_to"] else ""
        about = f"{size(artifact['size_bytes'])}  sha256 {artifact['sha256'][:16]}{link}"
        click.echo(f"Artifact {artifact['name']}  {about}")
    print_next(data)


def _print_attempt(attempt: dict[str, Any]) -> None:
    """From where an attempt continued, and how it ended, unless it is the only one and went well."""
    number = attempt["number"]
    if attempt["restored_step"] is not None:
        repeats = attempt["repeats_steps"]
        repeated = (
            "" if repeats is None else f" {repeats:,} logged {'step was' if repeats == 1 else 'steps were'} done again."
        )
        did = "continued from" if attempt["restored_certain"] else "started with the checkpoint files of"
        name = checkpoint_name(attempt["restored_step"], counted=attempt["restored_counted"])
        click.echo(f"Attempt {number} {did} {name}.{repeated}")
    elif attempt["repeats_steps"] is not None:
        repeated = f"{attempt['repeats_steps']:,} logged steps were done again."
        did = "started from the beginning"
        if attempt["continued_from"] is not None:
            did = "read what the attempts before it had left in the working directory"
        click.echo(f"Attempt {number} {did}. {repeated}")
    if attempt["ended_at"] and attempt["reason"] != "completed":
        workers = ", ".join(one["worker_name"] for one in attempt["assignments"])
        took = duration(attempt["ended_at"] - attempt["placed_at"])
        click.echo(f"Attempt {number} on {workers} ended after {took}: {attempt['reason']}.")


def _summary(data: dict[str, Any]) -> tuple[str, ...]:
    number = str(data["attempt"]["number"]) if data["attempt"] else "-"
    return (
        shown_status(data),
        _ranks(data),
        number,
        when(data["created_at"]),
        when(data["ended_at"]),
    )


@click.command()
@job_argument
def follow(job: str) -> None:
    """Follow a job until it ends; the exit status is the job's. Ctrl-C detaches."""
    from headway.cli.follow import follow_job

    with Client() as client:
        sys.exit(follow_job(client.job(job)))


@click.command()
@job_argument
@json_option
def cancel(job: str, as_json: bool) -> None:
    """End a job. Its ranks get SIGTERM, and SIGKILL a few seconds later."""
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
    """Ask a job's ranks to save and end. It needs no slots until `headway resume`.

    A job that saves nothing starts from the beginning then.
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
def edit(job: str, labels: tuple[str, ...], notes: str | None) -> None:
    """Change a job's labels and notes, whatever its status."""
    with Client() as client:
        handle = client.job(job)
        wanted = {**handle.data["labels"], **dict(text_pair(one, "--label") for one in labels)}
        handle.describe(labels={name: value for name, value in wanted.items() if value}, notes=notes)
    click.echo(
        f"Job {handle.name}: " + ("  ".join(f"{k}={v}" for k, v in handle.data["labels"].items()) or "no labels")
    )


@click.command()
@job_argument
@click.confirmation_option("--yes", prompt="Delete the job with its logs, metrics and files?")
def delete(job: str) -> None:
    """Delete an ended job with its logs, metrics and files."""
    with Client() as client:
        client.delete_job(job)
    click.echo(f"Job {job} is deleted.")


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
