"""Sections about a job that `show` and `follow` print: its failure, its figures, its stages.

The sentence of an end is made in `headway/core/end_reason.py`.
"""

from __future__ import annotations

import json
from typing import Any

import click

from headway.cli.common import duration, figure, print_text
from headway.cli.job_words import stage_times
from headway.client.control_sequences import without_controls
from headway.core.size import size

_MEMORY_POINTS = 4
_TRACEBACK_LINES = 25


def print_failure(data: dict[str, Any], *, log_shown: bool = False) -> None:
    """What the first failing rank reported, if an attempt failed. `log_shown`: its traceback was printed already."""
    attempt = data["attempt"] or {}
    failure = attempt.get("failure")
    if not failure or data["status"] == "succeeded":
        return
    if failure["rank"] is not None:
        click.echo(f"First to fail: rank {failure['rank']} on worker {failure['worker_name']}.")
    _print_memory(failure)
    if attempt["decision"]:
        print_text(attempt["decision"])
    if log_shown:
        return
    text = failure["traceback"] or "\n".join(failure["log_tail"])
    for line in text.rstrip().splitlines()[-_TRACEBACK_LINES:]:
        click.secho(f"    {without_controls(line)}", fg="bright_black")


def _print_memory(failure: dict[str, Any]) -> None:
    """The rank's memory over time, and its machine's at the end. A rank whose memory did not grow has one point."""
    curve = failure["memory_curve"]
    if failure["reason"] not in ("out_of_memory", "rank_killed") or not curve:
        return
    ended_at = curve[-1][0]
    shown = [*curve[:-1][:: max(1, len(curve) // _MEMORY_POINTS)], curve[-1]]
    points = [f"{size(held)} {f'{ended_at - at:.0f} s before' if at < ended_at else 'at most'}" for at, held in shown]
    print_text("Its memory: " + ", ".join(points) + ".")
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
    """How long each stage of the newest attempt took."""
    times = stage_times(data)
    if times:
        number = data["attempt"]["number"]
        what = "Stages: " if number == 1 else f"Stages of attempt {number}: "
        print_text(what + ", ".join(f"{stage.replace('_', ' ')} {duration(took)}" for stage, took in times))
