"""`headway jobs`, `show`, `follow`, `cancel`, `delete`, `download`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from headway.cli.common import duration, json_option, print_json, print_table, when
from headway.client import Client


@click.command()
@click.option("--status", multiple=True, help="Only jobs with this status; may be repeated.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@json_option
def jobs(status: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    with Client() as client:
        found = client.jobs(status, limit)
    if as_json:
        print_json(found)
    elif not found:
        click.echo("No jobs yet. Submit one: headway train cnn --dataset mnist --world-size 2")
    else:
        print_table(("NAME", "STATUS", "RANKS", "WORK", "SUBMITTED", "TOOK", "TEST ACCURACY"), map(_row, found))


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    spec = job["spec"]
    work = f"{spec['trainer']} on {spec['dataset']}" if spec["trainer"] else spec["script"]["filename"]
    took = (job["ended_at"] or time.time()) - job["created_at"]
    accuracy = ((job["result"] or {}).get("test") or {}).get("accuracy")
    return (
        job["name"],
        job["status"],
        str(spec["world_size"]),
        work,
        when(job["created_at"]),
        duration(took),
        "-" if accuracy is None else f"{accuracy:.2%}",
    )


@click.command()
@click.argument("job")
@json_option
def show(job: str, as_json: bool) -> None:
    """Show a job: how it stands, why, and what to do."""
    with Client() as client:
        handle = client.job(job)
        attempts = handle.attempts()
    data = handle.data
    if as_json:
        print_json({**data, "attempts": attempts})
        return
    from headway.cli.follow import next_commands, print_failure, print_result, print_stages

    click.secho(data["name"], bold=True, nl=False)
    click.echo(f"  {data['id']}")
    print_table(("STATUS", "RANKS", "ATTEMPT", "SUBMITTED", "ENDED"), [_summary(data)])
    click.echo(f"\n{data['sentence']}")
    print_failure(data)
    for warning in data["warnings"]:
        click.secho(f"Warning: {warning}", fg="yellow")
    for attempt in attempts:
        if attempt["ended_at"] and attempt["reason"] != "completed":
            workers = ", ".join(one["worker_name"] for one in attempt["assignments"])
            took = duration(attempt["ended_at"] - attempt["placed_at"])
            click.echo(f"Attempt {attempt['number']} on {workers} ended after {took}: {attempt['reason']}.")
    print_result(data)
    print_stages(data)
    for artifact in data["artifacts"]:
        click.echo(f"Artifact {artifact['name']}  {artifact['size_bytes']:,} bytes  sha256 {artifact['sha256'][:16]}")
    click.echo("Next: " + "   ".join(next_commands(data)))


def _summary(data: dict[str, Any]) -> tuple[str, ...]:
    number = str(data["attempt"]["number"]) if data["attempt"] else "-"
    return (
        data["status"],
        str(data["spec"]["world_size"]),
        number,
        when(data["created_at"]),
        when(data["ended_at"]),
    )


@click.command()
@click.argument("job")
def follow(job: str) -> None:
    """Follow a job until it ends; the exit status is the job's. Ctrl-C detaches."""
    from headway.cli.follow import follow_job

    with Client() as client:
        sys.exit(follow_job(client.job(job)))


@click.command()
@click.argument("job")
@json_option
def cancel(job: str, as_json: bool) -> None:
    """End a job. Its ranks get SIGTERM, and SIGKILL a few seconds later."""
    with Client() as client:
        handle = client.job(job).cancel()
    if as_json:
        print_json(handle.data)
    else:
        click.echo(f"Job {handle.name} is {handle.status}.")


@click.command()
@click.argument("job")
@click.confirmation_option("--yes", prompt="Delete the job with its logs, metrics and files?")
def delete(job: str) -> None:
    """Delete an ended job with its logs, metrics and files."""
    with Client() as client:
        handle = client.job(job)
        handle.delete()
    click.echo(f"Job {handle.name} is deleted.")


@click.command()
@click.argument("job")
@click.argument("artifact", required=False)
@click.option("--to", type=click.Path(path_type=Path), help="Folder to write into.  [default: the job's name]")
@json_option
def download(job: str, artifact: str | None, to: Path | None, as_json: bool) -> None:
    """Download one artifact, or `model` for the model's files, or everything."""
    with Client() as client:
        paths = client.job(job).download(artifact, to)
    if as_json:
        print_json([str(path) for path in paths])
    else:
        for path in paths:
            click.echo(path)
