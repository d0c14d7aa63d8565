"""A job's progress in a notebook: its output as plain text, and below it one line that is updated in place.

It needs only IPython, which every Python notebook has. It makes one block of HTML, however much the job prints.
"""

from __future__ import annotations

import time
from html import escape

from headway.client.progress import FollowedJob, JobProgress, UnfinishedLines, rate_text, remaining_text

_DRAW_SECONDS = 0.25


def show_in_notebook(job: FollowedJob) -> None:
    """Show everything that happens to the job, until it has ended."""
    from IPython.display import HTML, display

    progress, unfinished, drawn_at = JobProgress(job), UnfinishedLines(), float("-inf")
    line_below = display(HTML(_html(progress)), display_id=True)
    for message in job.follow():
        for line in progress.hear(message):
            if not line.partial or unfinished.due(line.rank):
                print(line.prefix + line.text)
        if time.monotonic() - drawn_at >= _DRAW_SECONDS:
            drawn_at = time.monotonic()
            line_below.update(HTML(_html(progress)))
    progress.stage = str(message.data["status"])
    line_below.update(HTML(_html(progress)))


def _html(progress: JobProgress) -> str:
    total = progress.total_steps
    bar = f"<progress value='{progress.step}' max='{total}'></progress> " if total else ""
    steps = f"step {progress.step:,}" + (f" of {total:,}" if total else "") if progress.step else ""
    words = (steps, rate_text(progress.steps_per_second), remaining_text(progress.remaining_seconds))
    return f"<b>{escape(progress.stage)}</b> {bar}" + escape("  ".join(filter(None, (*words, progress.figures_text()))))
