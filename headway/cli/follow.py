"""Following a job in the terminal: a bar with loss and accuracy, the log above it, and how it ended below it."""

from __future__ import annotations

import time
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from headway.cli.common import STATUS_COLOURS, duration, stage_times
from headway.client import JobHandle, Message

_EVENT_WORDS = {
    "attempt.placed": "placed",
    "attempt.started": "running",
    "job.requeued": "queued again",
    "job.cancel_requested": "being cancelled",
}
_LOOK_AGAIN_SECONDS = 2.0


class _Display:
    """The live part: what the job does, how far it is, and its newest figures."""

    def __init__(self, job: JobHandle, console: Console) -> None:
        self.job = job
        self.console = console
        self.progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[steps]}"),
            TextColumn("[cyan]{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self.task = self.progress.add_task("queued", total=None, steps="", figures="")
        self.total_steps: int | None = None
        self.step = 0
        self.figures: dict[str, float] = {}
        self.looked_at = 0.0

    def show(self, message: Message) -> None:
        match message.kind:
            case "event":
                self._event(message.data)
            case "report":
                for line in message.data["lines"]:
                    rank = f"[{line['rank']}] " if self.job.data["spec"]["world_size"] > 1 else ""
                    self.console.print(Text.assemble((rank, "bright_black"), line["text"]), soft_wrap=True)
                if message.data["series"]:
                    self._metrics(message.data)

    def _event(self, event: dict[str, Any]) -> None:
        if event["type"] in _EVENT_WORDS:
            self.progress.update(self.task, description=_EVENT_WORDS[event["type"]])
        if event["type"] == "attempt.ended" and event["data"]["reason"] != "completed":
            self.console.print(Text(f"Attempt {event['data']['attempt']}: {event['data']['sentence']}", style="yellow"))
        if event["type"] == "job.warned":
            self.console.print(Text(f"Warning: {event['data']['warning']}", style="yellow"))

    def _metrics(self, data: dict[str, Any]) -> None:
        for series in data["series"]:
            self.figures[series["name"]] = series["values"][-1]
            self.step = max(self.step, series["steps"][-1])
        if self.total_steps is None and time.monotonic() - self.looked_at > _LOOK_AGAIN_SECONDS:
            self.looked_at = time.monotonic()
            self.job.refresh()
            self.total_steps = (self.job.data["attempt"] or {}).get("total_steps")
        self.progress.update(
            self.task,
            total=self.total_steps,
            completed=self.step,
            steps=f"step {self.step:,} of {self.total_steps:,}" if self.total_steps else f"step {self.step:,}",
            figures=self._newest(),
        )

    def _newest(self) -> str:
        words = []
        for name, form in (("train/loss", "loss {:.4f}"), ("train/accuracy", "accuracy {:.1%}")):
            if name in self.figures:
                words.append(form.format(self.figures[name]))
        if "validation/accuracy" in self.figures:
            words.append(f"validation {self.figures['validation/accuracy']:.2%}")
        return "  ".join(words or [f"{name} {value:.4g}" for name, value in list(self.figures.items())[:3]])


def follow_job(job: JobHandle) -> int:
    """Follow until the job ends; the exit status it stands for. Ctrl-C detaches and leaves the job alone."""
    from headway.cli.train import exit_status

    console = Console(highlight=False)
    console.print(Text.assemble("Job ", (job.name, "bold"), f"  ({job.id})"))
    display = _Display(job, console)
    try:
        with display.progress:
            for message in job.follow():
                display.show(message)
    except KeyboardInterrupt:
        console.print(
            f"Detached; the job goes on. Come back: headway follow {job.name}. End it: headway cancel {job.name}"
        )
        return 0
    job.refresh()
    print_end(job)
    return exit_status(job.status)


def print_end(job: JobHandle) -> None:
    """How the job ended, its figures and stage times, and what to do next."""
    data = job.data
    status = click.style(data["status"], fg=STATUS_COLOURS[data["status"]], bold=True)
    took = duration((data["ended_at"] or time.time()) - data["created_at"])
    click.echo(f"{job.name} {status} after {took}. {data['sentence']}")
    print_failure(data)
    print_result(data)
    print_stages(data)
    click.echo("Next: " + "   ".join(next_commands(data)))


def print_failure(data: dict[str, Any]) -> None:
    """What the first failing rank said, if an attempt failed."""
    failure = (data["attempt"] or {}).get("failure")
    if not failure or data["status"] == "succeeded":
        return
    if failure["rank"] is not None:
        click.echo(f"First to fail: rank {failure['rank']} on worker {failure['worker_name']}.")
    text = failure["traceback"] or "\n".join(failure["log_tail"])
    for line in text.rstrip().splitlines()[-25:]:
        click.secho(f"    {line}", fg="bright_black")


def print_result(data: dict[str, Any]) -> None:
    """The evaluation's figures."""
    result = data["result"] or {}
    for split in ("validation", "test"):
        if split in result:
            one = result[split]
            click.secho(f"{split.capitalize()} accuracy {one['accuracy']:.2%}", bold=True, nl=False)
            click.echo(f"  loss {one['loss']:.4f}  macro F1 {one['f1']:.4f}  ({one['samples']:,} samples)")


def print_stages(data: dict[str, Any]) -> None:
    """How long each stage took."""
    times = stage_times(data)
    if times:
        click.echo("Stages: " + "  ".join(f"{stage.replace('_', ' ')} +{duration(took)}" for stage, took in times))


def next_commands(data: dict[str, Any]) -> list[str]:
    """Commands that help from here."""
    name = data["name"]
    match data["status"]:
        case "succeeded" if data["artifacts"]:
            return [f"headway download {name} model", f"headway metrics {name}", f"headway show {name}"]
        case "succeeded" | "cancelled":
            return [f"headway logs {name}", f"headway show {name}"]
        case "failed":
            return [f"headway logs {name}", f"headway show {name}", f"headway events {name}"]
        case "queued":
            return ["headway workers", f"headway cancel {name}"]
        case _:
            return [f"headway follow {name}", f"headway logs -f {name}", f"headway cancel {name}"]
