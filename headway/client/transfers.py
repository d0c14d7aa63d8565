"""Progress bars for work on many bytes, on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headway.client.watched import in_notebook


@contextmanager
def transfer_progress(what: str, total_bytes: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar with size and rate while the context lasts. Call its value with the bytes that were added.

    It is written to stderr, and only if that is a terminal: in a notebook each bar would leave blocks of HTML behind.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True, force_jupyter=False)
    shown = console.is_terminal and not in_notebook()  # a kernel says that its output is a terminal
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task(what, total=total_bytes)
        yield lambda count: progress.update(task, advance=count)
