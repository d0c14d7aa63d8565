"""The progress of a followed job: the lines to print for each message, and the figures of the progress bar."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from headway.client.message import Message
from headway.client.tracebacks import Tracebacks
from headway.core.checkpoint_name import checkpoint_name
from headway.core.metric import metric_text
from headway.core.size import counted
from headway.core.status import shown_status

_STAGES = {
    "attempt.placed": "starting",
    "attempt.started": "running",
    "job.requeued": "queued again",
    "job.cancel_requested": "stopping",
    "job.paused": "paused",
    "job.resumed": "queued again",
}
_ENDS = ("job.succeeded", "job.failed", "job.cancelled")
_STILL = ("paused", "queued", "queued again")
"""Stages without steps, and so without a rate."""
_FIGURES = (
    ("train/loss", "loss", ".4f"),
    ("train/accuracy", "accuracy", ".1%"),
    ("validation/accuracy", "validation", ".2%"),
)
"""Metrics that the bar shows if the job has them: name, label and format."""
_RATE_SECONDS = 30.0
_SAMPLE_SECONDS = 0.5
"""Messages of the past arrive at once. Together they count as one sample of the rate."""
_LOOK_AGAIN_SECONDS = 2.0
_PRINT_AGAIN_SECONDS = 10.0


class FollowedJob(Protocol):
    """The part of a job handle that following needs."""

    data: dict[str, Any]

    def follow(self) -> Iterator[Message]:
        """Everything that happens to the job until it ends."""

    def refresh(self) -> Any:
        """Read the job's state from the server again."""


class Line(NamedTuple):
    """A line to print. `kind`: output, good or warning. `rank`: of output. `partial`: a bar, without a line end."""

    text: str
    kind: str = "output"
    prefix: str = ""
    rank: int = 0
    partial: bool = False


def rank_prefix(rank: int, world_size: int) -> str:
    """The prefix of a line: its rank if there are several; `[setup]` for output of the preparation."""
    if rank < 0:
        return "[setup] "
    return f"[{rank}] " if world_size > 1 else ""


class UnfinishedLines:
    """Bars outside a terminal: the newest one of each rank is printed every few seconds."""

    def __init__(self) -> None:
        self._printed_at: dict[int, float] = {}

    def due(self, rank: int) -> bool:
        """Whether to print the rank's line now."""
        now = time.monotonic()
        due = now - self._printed_at.get(rank, float("-inf")) >= _PRINT_AGAIN_SECONDS
        if due:
            self._printed_at[rank] = now
        return due


class JobProgress:
    """The stage, the step and the newest figures of a job. Messages keep them up to date."""

    def __init__(self, job: FollowedJob, now: Callable[[], float] = time.monotonic) -> None:
        self._job = job
        self._now = now
        self._looked_at = float("-inf")
        self._steps: deque[tuple[float, int]] = deque()
        self._tracebacks = Tracebacks()
        self._attempt_end: Line | None = None
        self._attempt = 0
        self.stage = shown_status(job.data["status"], hold=job.data["hold"])
        self.step = 0
        self.total_steps: int | None = None
        self.figures: dict[str, float] = {}

    def hear(self, message: Message) -> Iterator[Line]:
        """Take in one message; the lines to print for it."""
        match message.kind:
            case "event":
                yield from self._event(message.data)
            case "report":
                yield from self._output(message.data["lines"])
                if message.data["series"] and message.data["attempt"] >= self._attempt:
                    self._metrics(message.data["series"])
            case "away" | "back":
                yield Line(message.data["sentence"], "warning" if message.kind == "away" else "good")
            case "end":
                yield from self._rest()

    def _output(self, lines: list[dict[str, Any]]) -> Iterator[Line]:
        world_size = self._job.data["spec"]["world_size"]
        for line in lines:
            rank, partial = line["rank"], bool(line.get("partial"))
            texts = [line["text"]] if partial or world_size == 1 else self._tracebacks.take(rank, line["text"])
            for text in texts:
                yield Line(text, prefix=rank_prefix(rank, world_size), rank=rank, partial=partial)

    def _rest(self) -> Iterator[Line]:
        for rank, text in self._tracebacks.rest():
            yield Line(text, prefix=rank_prefix(rank, self._job.data["spec"]["world_size"]), rank=rank)

    @property
    def steps_per_second(self) -> float | None:
        """The rate over the last half minute; None before a second step, and while the job waits or is paused."""
        if self.stage in _STILL or len(self._steps) < 2:
            return None
        (began, first), (ended, last) = self._steps[0], self._steps[-1]
        return (last - first) / (ended - began) if last > first and ended > began else None

    @property
    def remaining_seconds(self) -> float | None:
        """The time for the remaining steps at this rate; None if it is not known."""
        rate = self.steps_per_second
        return None if rate is None or self.total_steps is None else max(0, self.total_steps - self.step) / rate

    def figures_text(self) -> str:
        """The newest loss and accuracy, or the first three metrics of a script."""
        found = [(label, self.figures[name], form) for name, label, form in _FIGURES if name in self.figures]
        shown = found or [(name, value, ".4g") for name, value in list(self.figures.items())[:3]]
        return "  ".join(f"{label} {metric_text(value, form)}" for label, value, form in shown)

    def _event(self, event: dict[str, Any]) -> Iterator[Line]:
        kind, data = event["type"], event["data"]
        if kind == "job.requeued" and self.stage == "paused":
            kind = "job.paused"  # it waits until it is resumed
        self.stage = _STAGES.get(kind, self.stage)
        if self._attempt_end is not None and kind != "job.warned":
            if kind not in _ENDS:  # the job's own end has the same sentence
                yield self._attempt_end
            self._attempt_end = None
        if kind == "attempt.placed":
            yield from self._rest()
            self._attempt = data["attempt"]  # reports of earlier attempts may still arrive
            self.step = 0
            self._steps.clear()
        elif kind == "checkpoint.restored":
            numbered = not data.get("counted", False)
            self.step = data["step"] if numbered else 0
            does = "continues from" if data.get("certain", True) else "starts with the checkpoint files of"
            name = checkpoint_name(data["step"], counted=not numbered)
            yield Line(f"Attempt {data['attempt']} {does} {name}.", "good")
        elif kind == "working_directory.kept":
            what = counted(data["files"], "file")
            yield Line(
                f"Attempt {data['attempt']} finds {what} of earlier attempts on worker {data['worker']}.", "good"
            )
        elif kind == "attempt.ended" and data["reason"] != "completed":
            self._attempt_end = Line(f"Attempt {data['attempt']}: {data['sentence']}", "warning")
        elif kind == "job.warned":
            yield Line(f"Warning: {data['warning']}", "warning")

    def _metrics(self, found: list[dict[str, Any]]) -> None:
        for series in found:
            self.figures[series["name"]] = float(series["values"][-1])  # JSON has NaN and Infinity as text
            self.step = max(self.step, series["steps"][-1])
        now = self._now()
        if self._steps and now - self._steps[-1][0] < _SAMPLE_SECONDS:
            now = self._steps.pop()[0]
        self._steps.append((now, self.step))
        while now - self._steps[0][0] > _RATE_SECONDS:
            self._steps.popleft()
        if self.total_steps is None and now - self._looked_at > _LOOK_AGAIN_SECONDS:
            self._looked_at = now
            self._job.refresh()
            self.total_steps = (self._job.data["attempt"] or {}).get("total_steps")


def remaining_text(seconds: float | None) -> str:
    """A remaining time, rounded: the longer it is, the coarser."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.0f} s left"
    minutes = round(seconds / 60)
    return f"{minutes} min left" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min left"


def rate_text(steps_per_second: float | None) -> str:
    """A rate in steps per second; a slow one in seconds per step."""
    if steps_per_second is None:
        return ""
    if steps_per_second >= 1:
        return f"{steps_per_second:,.0f} steps/s" if steps_per_second >= 10 else f"{steps_per_second:.1f} steps/s"
    return f"{1 / steps_per_second:.1f} s/step"
