"""`headway logs`."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from headway.cli.common import EXIT_STATUS, json_option
from headway.cli.names import job_argument
from headway.cli.values import MOMENT
from headway.client import Client, JobHandle
from headway.client.control_sequences import with_colours
from headway.client.progress import UnfinishedLines, rank_prefix
from headway.core.size import counted
from headway.errors import NotFound

Line = dict[str, Any]
_CLEAR_LINE = "\r\x1b[2K"


@click.command()
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Follow the output until the job ends.")
@click.option("-n", "--tail", type=click.IntRange(0), metavar="N", help="Start with the last N lines.")
@click.option("--since", type=MOMENT, help="Only lines after: 10m (ago), or a date and time.")
@click.option("-t", "--timestamps", is_flag=True, help="Print the time before each line.")
@click.option("--rank", type=click.IntRange(-1), help="Only this rank; -1 is the preparation.")
@click.option("--attempt", type=click.IntRange(1), help="Only this attempt.")
@click.option("--grep", metavar="REGEX", help="Only lines that match.")
@click.option("--no-repeated", is_flag=True, help="Leave out steps that a later attempt repeated.")
@json_option
def logs(
    *,
    job: str,
    follow: bool,
    tail: int | None,
    timestamps: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """Print the output of the job's ranks. A ~ marks lines of steps that a later attempt repeated."""
    wanted = _filter(**filters)
    with Client() as client:
        handle = client.job(job)
        printer = _Printer(handle, as_json=as_json, timestamps=timestamps, draws_bars=follow)
        if not follow:
            _check_filters(handle, **filters)
            found = (line for line in handle.logs() if wanted(line))
            for line in found if tail is None else deque(found, maxlen=tail):
                printer.show(line)
            return
        try:
            _follow(handle, printer, wanted, tail)
        except KeyboardInterrupt:
            click.echo(f"Detached; the job continues. Come back: headway logs -f {job}", err=True)
            return
        handle.refresh()
    sys.exit(EXIT_STATUS.get(handle.status, 0))


def _follow(handle: JobHandle, printer: _Printer, wanted: Callable[[Line], bool], tail: int | None) -> None:
    cursor = None
    if tail is not None:
        cursor, lines = handle.logs_so_far()
        for line in deque((line for line in lines if wanted(line)), maxlen=tail):
            printer.show(line)
    for message in handle.follow("logs", cursor):
        for text in message.data.get("lines", ()):
            line = {"attempt": message.data["attempt"], "worker": message.data["worker"], **text}
            if wanted(line):
                printer.show(line)


def _check_filters(handle: JobHandle, *, rank: int | None, attempt: int | None, **_filters: Any) -> None:
    """Raises NotFound for a rank or attempt that the job does not have."""
    ranks = handle.data["spec"]["world_size"]
    attempts = handle.data["attempt"]["number"] if handle.data["attempt"] else 0
    if rank is not None and rank >= ranks:
        raise NotFound(f"Job {handle.name} has no rank {rank}. It has {counted(ranks, 'rank')}, numbered from 0.")
    if attempt is not None and attempt > attempts:
        raise NotFound(f"Job {handle.name} has no attempt {attempt}. It has {counted(attempts, 'attempt')}.")


def _filter(
    rank: int | None, attempt: int | None, grep: str | None, since: float | None, no_repeated: bool
) -> Callable[[Line], bool]:
    """A function that tells whether a line is wanted."""
    try:
        pattern = re.compile(grep or "")
    except re.error as error:
        raise click.BadParameter(f"{grep!r} cannot be read: {error}", param_hint="--grep") from error

    def wanted(line: Line) -> bool:
        return (
            rank in (None, line["rank"])
            and attempt in (None, line["attempt"])
            and (since is None or line["at"] >= since)
            and not (no_repeated and line["repeated"])
            and pattern.search(line["text"]) is not None
        )

    return wanted


class _Printer:
    """Prints lines. A bar, which has no line end, is drawn over by the next line."""

    def __init__(self, handle: JobHandle, *, as_json: bool, timestamps: bool, draws_bars: bool) -> None:
        self._world_size = handle.data["spec"]["world_size"]
        self._as_json = as_json
        self._timestamps = timestamps
        self._draws_bars = draws_bars
        self._bars = _Bars()

    def show(self, line: Line) -> None:
        if self._as_json:
            click.echo(json.dumps(line))
            return
        moment = f"{datetime.fromtimestamp(line['at']):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " " if self._timestamps else ""
        mark = "~ " if line["repeated"] else ""
        prefix = click.style(moment + mark + rank_prefix(line["rank"], self._world_size), fg="bright_black")
        text = with_colours(line["text"])
        text = click.style(text, dim=True) if line["repeated"] else text
        if self._draws_bars and line.get("partial"):
            self._bars.draw(line["rank"], f"{prefix}{text}")
        else:
            self._bars.clear()
            click.echo(f"{prefix}{text}")


class _Bars:
    """Draws bars in place on a terminal. Elsewhere it prints the newest bar of each rank every few seconds."""

    def __init__(self) -> None:
        self._unfinished = UnfinishedLines()
        self._drawn = False

    def draw(self, rank: int, text: str) -> None:
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns - 1  # a longer line would wrap and could not be drawn over
            click.echo(f"{_CLEAR_LINE}{click.unstyle(text)[:width]}", nl=False)
            self._drawn = True
        elif self._unfinished.due(rank):
            click.echo(text)

    def clear(self) -> None:
        if self._drawn:
            click.echo(_CLEAR_LINE, nl=False)
            self._drawn = False
