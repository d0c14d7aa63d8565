"""A job's progress, in a notebook or on a terminal."""

from __future__ import annotations

from headway.client.notebook_progress import show_in_notebook
from headway.client.progress import FollowedJob
from headway.client.terminal_progress import show_in_terminal
from headway.client.watched import in_notebook


def follow_with_progress(job: FollowedJob) -> None:
    """Show everything that happens to the job, until it has ended: in a notebook's output, or on the terminal."""
    (show_in_notebook if in_notebook() else show_in_terminal)(job)
