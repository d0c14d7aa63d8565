"""A job's progress in a terminal or notebook: a bar with loss and accuracy, and the log above it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from headway.client.message import Message
from headway.core.checkpoint_name import checkpoint_name

_EVENT_WORDS = {
    "attempt.placed": "placed",
    "attempt.started": "running",
    "job.requeued": "queued again",
    "job.cancel_requested": "being cancelled",
    "job.paused": "paused",
    "job.resumed": "queued again",
}
_LOOK_AGAIN_SECONDS = 2.0
_TELL_AGAIN_SECONDS = 10.0


def rank_prefix(rank: int, world_size: int) -> str:
    """What stands before a line: its rank, if there are several; what preparing printed is marked as such."""
    if rank < 0:
        return "[setup] "
    return f"[{rank}] " if world_size > 1 else ""


class FollowedJob(Protocol):
    """The job whose progress is shown: what `JobHandle` has of it."""

    data: dict[str, Any]

    def refresh(self) -> object:
        """Ask the server how the job stands now; `data` says it."""

    def follow(self) -> Iterator[Message]:
        """All that happened and happens, until the job has ended."""
        ...


class UnfinishedLines:
    """Lines without end, such as bars, where none can be drawn over: each rank's is told now and then."""

    def __init__(self) -> None:
        self._told_at: dict[int, float] = {}

    def due(self, rank: int) -> bool:
        """Whether the rank's is to be told again."""
        now = time.monotonic()
        due = now - self._told_at.get(rank, float("-inf")) >= _TELL_AGAIN_SECONDS
        if due:
            self._told_at[rank] = now
        return due


class _ProgressBelowBars(Progress):
    """The job's progress, and above it what ranks have drawn last without a line's end."""

    bars: dict[int, Text]

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from getattr(self, "bars", {}).values()
        yield from super().get_renderables()


class Display:
    """The live part: what the job does, how far it is, and its newest figures."""

    def __init__(self, job: FollowedJob, console: Console) -> None:
        """`progress` is the context to enter while messages are shown."""
        self.job = job
        self.console = console
        self.progress = _ProgressBelowBars(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[steps]}"),
            TextColumn("[cyan]{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self.progress.bars = {}
        self.unfinished = UnfinishedLines()
        self.task = self.progress.add_task("queued", total=None, steps="", figures="")
        self.total_steps: int | None = None
        self.step = 0
        self.figures: dict[str, float] = {}
        self.looked_at = 0.0

    def show(self, message: Message) -> None:
        """Show one thing that happened."""
        match message.kind:
            case "event":
                self._event(message.data)
            case "report":
                for line in message.data["lines"]:
                    self._line(line)
                if message.data["series"]:
                    self._metrics(message.data)

    def _line(self, line: dict[str, Any]) -> None:
        prefix = rank_prefix(line["rank"], self.job.data["spec"]["world_size"])
        text = Text.assemble((prefix, "bright_black"), line["text"])
        self.progress.bars.pop(line["rank"], None)
        if not line.get("partial"):
            self.console.print(text, soft_wrap=True)
        elif self.console.is_terminal:
            self.progress.bars[line["rank"]] = text
        elif self.unfinished.due(line["rank"]):
            self.console.print(text, soft_wrap=True)

    def _event(self, event: dict[str, Any]) -> None:
        if event["type"] in _EVENT_WORDS:
            self.progress.update(self.task, description=_EVENT_WORDS[event["type"]])
        if event["type"] == "attempt.placed":
            self.step = 0
        if event["type"] == "checkpoint.restored":
            data = event["data"]
            counted = data.get("counted", False)
            self.step = 0 if counted else data["step"]
            does = "continues from" if data.get("certain", True) else "starts with the checkpoint files of"
            words = f"Attempt {data['attempt']} {does} {checkpoint_name(data['step'], counted=counted)}."
            self.console.print(Text(words, style="green"), soft_wrap=True)
        if event["type"] == "working_directory.kept":
            data = event["data"]
            what = "1 file" if data["files"] == 1 else f"{data['files']:,} files"
            words = f"Attempt {data['attempt']} finds {what} of earlier attempts on worker {data['worker']}."
            self.console.print(Text(words, style="green"), soft_wrap=True)
        if event["type"] == "attempt.ended" and event["data"]["reason"] != "completed":
            words = f"Attempt {event['data']['attempt']}: {event['data']['sentence']}"
            self.console.print(Text(words, style="yellow"), soft_wrap=True)
        if event["type"] == "job.warned":
            self.console.print(Text(f"Warning: {event['data']['warning']}", style="yellow"), soft_wrap=True)

    def _metrics(self, data: dict[str, Any]) -> None:
        for series in data["series"]:
            self.figures[series["name"]] = float(series["values"][-1])  # JSON has NaN and Infinity as text
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


def follow_with_progress(job: FollowedJob, console: Console | None = None) -> None:
    """Show all that happens to the job, until it has ended."""
    display = Display(job, console or Console(highlight=False))
    with display.progress:
        for message in job.follow():
            display.show(message)
