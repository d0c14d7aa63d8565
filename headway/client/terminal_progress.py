"""A job's progress in a terminal: a bar with rate and time left, and above it the job's output."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from headway.client.control_sequences import with_colours
from headway.client.progress import FollowedJob, JobProgress, Line, UnfinishedLines, rate_text, remaining_text

_STYLES = {"output": "", "good": "green", "warning": "yellow"}
_BAR_CHARACTERS = 12


class _ProgressBelowBars(Progress):
    """The job's progress, and above it the bars that ranks draw: their last lines without a line end."""

    bars: dict[int, Text]

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from getattr(self, "bars", {}).values()
        yield from super().get_renderables()


class _Display:
    """Draws the progress. Messages are shown inside the context `bar`."""

    def __init__(self, job: FollowedJob, console: Console) -> None:
        self._console = console
        self._unfinished = UnfinishedLines()
        self.progress = JobProgress(job)
        columns = [
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=_BAR_CHARACTERS),
            TextColumn("{task.fields[steps]}"),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[left]}"),
            TextColumn("[cyan]{task.fields[figures]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        ]
        self.bar = _ProgressBelowBars(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.bar.bars = {}
        self._task = self.bar.add_task(self.progress.stage, total=None, steps="", rate="", left="", figures="")

    def draw(self) -> None:
        """Draw the bar again."""
        now = self.progress
        steps = "" if not now.step else f"{now.step:,}/{now.total_steps:,}" if now.total_steps else f"step {now.step:,}"
        self.bar.update(
            self._task,
            description=now.stage,
            total=now.total_steps,
            completed=now.step,
            steps=steps,
            rate=rate_text(now.steps_per_second),
            left=remaining_text(now.remaining_seconds),
            figures=now.figures_text(),
        )

    def print(self, line: Line) -> None:
        """Print a line above the bar. On a terminal the next line of the rank replaces one without a line end."""
        printed = Text.from_ansi(with_colours(line.text), style=_STYLES[line.kind])
        text = Text.assemble((line.prefix, "bright_black"), printed)
        self.bar.bars.pop(line.rank, None)
        if line.partial and self._console.is_terminal:
            self.bar.bars[line.rank] = text
        elif not line.partial or self._unfinished.due(line.rank):
            self._console.print(text, soft_wrap=True)


def show_in_terminal(job: FollowedJob, console: Console | None = None) -> None:
    """Show everything that happens to the job, until it has ended."""
    display = _Display(job, console or Console(highlight=False))
    with display.bar:
        for message in job.follow():
            for line in display.progress.hear(message):
                display.print(line)
            display.draw()
