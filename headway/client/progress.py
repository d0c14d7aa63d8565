"""How far a followed job is: what to print of each message, and one line about the whole."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from headway.client.message import Message
from headway.core.checkpoint_name import checkpoint_name
from headway.core.metric import metric_text

_STAGES = {
    "attempt.placed": "starting",
    "attempt.started": "running",
    "job.requeued": "queued again",
    "job.cancel_requested": "stopping",
    "job.paused": "paused",
    "job.resumed": "queued again",
}
_STILL = ("paused", "queued", "queued again")
"""Stages in which no steps are made, so that there is no rate."""
_FIGURES = (
    ("train/loss", "loss", ".4f"),
    ("train/accuracy", "accuracy", ".1%"),
    ("validation/accuracy", "validation", ".2%"),
)
"""Metrics that are shown if there are such, under which label and in which form."""
_RATE_SECONDS = 30.0
_LOOK_AGAIN_SECONDS = 2.0
_TELL_AGAIN_SECONDS = 10.0


class FollowedJob(Protocol):
    """What is needed of a job handle."""

    data: dict[str, Any]

    def follow(self) -> Iterator[Message]:
        """All that happens to the job until it ends."""

    def refresh(self) -> Any:
        """Ask the server how the job stands now."""


class Line(NamedTuple):
    """A line to print. `kind`: output, good, warning; `rank` of output. `partial`: it has no end yet, as a bar."""

    text: str
    kind: str = "output"
    prefix: str = ""
    rank: int = 0
    partial: bool = False


def rank_prefix(rank: int, world_size: int) -> str:
    """What stands before a line: its rank, if there are several; what preparing printed is marked as such."""
    if rank < 0:
        return "[setup] "
    return f"[{rank}] " if world_size > 1 else ""


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


class JobProgress:
    """The stage, the step and the newest figures of a job, kept up to date by its messages."""

    def __init__(self, job: FollowedJob, now: Callable[[], float] = time.monotonic) -> None:
        self._job = job
        self._now = now
        self._looked_at = float("-inf")
        self._steps: deque[tuple[float, int]] = deque()
        self.stage = "paused" if job.data["hold"] else str(job.data["status"])
        self.step = 0
        self.total_steps: int | None = None
        self.figures: dict[str, float] = {}

    def hear(self, message: Message) -> Iterator[Line]:
        """Take in one message; the lines to print of it."""
        if message.kind == "event":
            yield from self._event(message.data)
        elif message.kind == "report":
            world_size = self._job.data["spec"]["world_size"]
            for line in message.data["lines"]:
                prefix = rank_prefix(line["rank"], world_size)
                yield Line(line["text"], prefix=prefix, rank=line["rank"], partial=bool(line.get("partial")))
            if message.data["series"]:
                self._metrics(message.data["series"])

    @property
    def steps_per_second(self) -> float | None:
        """Over the last half minute; None before a second step, and while the job stands."""
        if self.stage in _STILL or len(self._steps) < 2:
            return None
        (began, first), (ended, last) = self._steps[0], self._steps[-1]
        return (last - first) / (ended - began) if last > first and ended > began else None

    @property
    def remaining_seconds(self) -> float | None:
        """How long the steps that are left will take at this rate; None if that is not known."""
        rate = self.steps_per_second
        return None if rate is None or self.total_steps is None else max(0, self.total_steps - self.step) / rate

    def figures_text(self) -> str:
        """The newest loss and accuracy, or the first three metrics of a script."""
        found = [(label, self.figures[name], form) for name, label, form in _FIGURES if name in self.figures]
        shown = found or [(name, value, ".4g") for name, value in list(self.figures.items())[:3]]
        return "  ".join(f"{label} {metric_text(value, form)}" for label, value, form in shown)

    def _event(self, event: dict[str, Any]) -> Iterator[Line]:
        kind, data = event["type"], event["data"]
        self.stage = _STAGES.get(kind, self.stage)
        if kind == "attempt.placed":
            self.step = 0
            self._steps.clear()
        elif kind == "checkpoint.restored":
            counted = data.get("counted", False)
            self.step = 0 if counted else data["step"]
            does = "continues from" if data.get("certain", True) else "starts with the checkpoint files of"
            yield Line(f"Attempt {data['attempt']} {does} {checkpoint_name(data['step'], counted=counted)}.", "good")
        elif kind == "working_directory.kept":
            what = "1 file" if data["files"] == 1 else f"{data['files']:,} files"
            yield Line(
                f"Attempt {data['attempt']} finds {what} of earlier attempts on worker {data['worker']}.", "good"
            )
        elif kind == "attempt.ended" and data["reason"] != "completed":
            yield Line(f"Attempt {data['attempt']}: {data['sentence']}", "warning")
        elif kind == "job.warned":
            yield Line(f"Warning: {data['warning']}", "warning")

    def _metrics(self, found: list[dict[str, Any]]) -> None:
        for series in found:
            self.figures[series["name"]] = float(series["values"][-1])  # JSON has NaN and Infinity as text
            self.step = max(self.step, series["steps"][-1])
        now = self._now()
        self._steps.append((now, self.step))
        while now - self._steps[0][0] > _RATE_SECONDS:
            self._steps.popleft()
        if self.total_steps is None and now - self._looked_at > _LOOK_AGAIN_SECONDS:
            self._looked_at = now
            self._job.refresh()
            self.total_steps = (self._job.data["attempt"] or {}).get("total_steps")


def remaining_text(seconds: float | None) -> str:
    """A time that is left, roughly: the more there is, the coarser."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s left"
    minutes = round(seconds / 60)
    return f"{minutes} min left" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min left"


def rate_text(steps_per_second: float | None) -> str:
    """A rate in steps per second, or in seconds per step if it is a slow one."""
    if steps_per_second is None:
        return ""
    if steps_per_second >= 1:
        return f"{steps_per_second:,.0f} steps/s" if steps_per_second >= 10 else f"{steps_per_second:.1f} steps/s"
    return f"{1 / steps_per_second:.1f} s/step"
