"""Following a job in the terminal: a bar with loss and accuracy, the log above it, and how it ended below it."""

from __future__ import annotations

import json
import time
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from headway.cli.common import EXIT_STATUS, STATUS_COLOURS, duration, figure, stage_times
from headway.cli.next_commands import next_commands, print_next
from headway.client import JobHandle
from headway.client.control_sequences import without_controls
from headway.client.terminal_progress import show_in_terminal
from headway.core.size import size

_MEMORY_POINTS = 4


def follow_job(job: JobHandle) -> int:
    """Follow until the job ends; the exit status it stands for. Ctrl-C detaches and leaves the job alone."""
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


def _print_waiting(job: JobHandle) -> None:
    """Why the job waits, if it does, and what helps."""
    data = job.refresh().data
    if job.status == "queued" and not (data["waiting"] and data["waiting"]["about_to_be_placed"]):
        click.echo(data["sentence"])
        click.echo("Next: " + "   ".join(next_commands(job.data)))


def print_end(job: JobHandle) -> None:
    """How the job ended, its figures and stage times, and what to do next."""
    data = job.data
    status = click.style(data["status"], fg=STATUS_COLOURS[data["status"]], bold=True)
    took = duration((data["ended_at"] or time.time()) - data["created_at"])
    click.echo(f"{job.name} {status} after {took}. {without_controls(data['sentence'])}")
    print_failure(data)
    print_result(data)
    print_stages(data)
    print_next(data)


def print_failure(data: dict[str, Any]) -> None:
    """What the first failing rank said, if an attempt failed."""
    failure = (data["attempt"] or {}).get("failure")
    if not failure or data["status"] == "succeeded":
        return
    if failure["rank"] is not None:
        click.echo(f"First to fail: rank {failure['rank']} on worker {failure['worker_name']}.")
    _print_memory(failure)
    if data["attempt"]["decision"]:
        click.echo(f"Decided: {data['attempt']['decision']}")
    text = failure["traceback"] or "\n".join(failure["log_tail"])
    for line in text.rstrip().splitlines()[-25:]:
        click.secho(f"    {without_controls(line)}", fg="bright_black")


def _print_memory(failure: dict[str, Any]) -> None:
    """The rank's memory at a few times of its life, and its machine's then; as a curve only if it grew."""
    curve = failure["memory_curve"]
    if failure["reason"] not in ("out_of_memory", "rank_killed") or not curve:
        return
    ended_at = curve[-1][0]
    shown = [*curve[:-1][:: max(1, len(curve) // _MEMORY_POINTS)], curve[-1]]
    points = [f"{size(held)} {f'{ended_at - at:.0f} s before' if at < ended_at else 'at most'}" for at, held in shown]
    click.echo("Its memory: " + ", ".join(points) + ".")
    load = failure["worker_load"]
    if load:
        used = f"{size(load['memory_used_bytes'])} of {size(load['memory_bytes'])}"
        click.echo(f"All of worker {failure['worker_name']} used {used} then.")


def print_result(data: dict[str, Any]) -> None:
    """The evaluation's figures."""
    result = data["result"] or {}
    if "value" in result:
        click.echo(f"Returned: {json.dumps(result['value'])[:500]}")
    for split in ("validation", "test"):
        one = result.get(split)
        if isinstance(one, dict) and {"accuracy", "loss", "f1", "samples"} <= one.keys():
            click.secho(f"{split.capitalize()} accuracy {figure(one['accuracy'], '.2%')}", bold=True, nl=False)
            loss, f1, samples = figure(one["loss"], ".4f"), figure(one["f1"], ".4f"), figure(one["samples"], ",")
            click.echo(f"  loss {loss}  macro F1 {f1}  ({samples} samples)")


def print_stages(data: dict[str, Any]) -> None:
    """How long each stage took."""
    times = stage_times(data)
    if times:
        click.echo("Stages: " + "  ".join(f"{stage.replace('_', ' ')} +{duration(took)}" for stage, took in times))
