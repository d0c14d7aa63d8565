"""Output that commands share: text, tables, JSON, times and durations."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click

from headway.client import Client
from headway.errors import NotAllowed

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

_GAP = "  "
_CUT_CHARACTERS = 12
"""A column that is cut first keeps so many characters."""
STATUS_COLOURS = {
    "queued": "yellow",
    "paused": "yellow",
    "starting": "cyan",
    "running": "cyan",
    "stopping": "magenta",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "bright_black",
}
EXIT_STATUS = {"failed": 1, "cancelled": 3}
"""The exit status of commands that follow a job; 0 for every other end."""


def print_text(text: str, *, indent: int = 0, hanging: int = 0, fg: str | None = None) -> None:
    """Print sentences. On a terminal lines end between words; those after the first are indented by `hanging` more."""
    first, rest = " " * indent, " " * (indent + hanging)
    if sys.stdout.isatty():
        text = "\n".join(wrapped(text, shutil.get_terminal_size().columns, first, rest))
    else:
        text = first + text
    click.secho(text, fg=fg)


def wrapped(text: str, line_characters: int, first: str, rest: str) -> list[str]:
    """The text in lines that end between words. `first` and `rest` indent them. Colours take no room."""
    lines, line = [], first
    for gap, word in re.findall(r"(\s*)(\S+)", text):
        longer = f"{line}{gap}{word}"
        if line.strip() and len(click.unstyle(longer)) > line_characters:
            lines.append(line)
            longer = rest + word
        line = longer
    return [*lines, line]


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, indent=2))


def answer(value: Any, sentence: str, *, as_json: bool) -> None:
    """Print the result of a command: a sentence for people, or JSON."""
    if as_json:
        print_json(value)
    else:
        click.echo(sentence)


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    cut: Sequence[str] = (),
    drop: Sequence[str] = (),
    empty: Sequence[str] = (),
) -> None:
    """Columns as wide as they need to be; a status has its colour.

    A column in `empty` is left out if it has only dashes. On a terminal that is too narrow the columns in `cut` lose
    their ends, then the columns in `drop` are left out, in this order, and then all columns lose their ends.
    """
    table = [list(headings), *[list(row) for row in rows]]
    for heading in empty:
        column = table[0].index(heading)
        if all(row[column] == "-" for row in table[1:]):
            table = _without(table, column)
    if sys.stdout.isatty():
        table = fitted(table, shutil.get_terminal_size().columns, cut, drop)
    widths = _widths(table)
    for number, row in enumerate(table):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if number == 0:
            click.secho(_GAP.join(cells).rstrip(), bold=True)
        else:
            click.echo(_GAP.join(_colour(cell) for cell in cells).rstrip())


def fitted(table: list[list[str]], line_characters: int, cut: Sequence[str], drop: Sequence[str]) -> list[list[str]]:
    """The table, with its headings in the first row, so that it fits into lines of a terminal. See `print_table`."""
    table = _shrunk(table, line_characters, [table[0].index(heading) for heading in cut], _CUT_CHARACTERS)
    for heading in drop:
        if _line_width(table) <= line_characters:
            break
        if heading in table[0]:
            table = _without(table, table[0].index(heading))
    return _shrunk(table, line_characters, range(len(table[0])), 1)


def _without(table: list[list[str]], column: int) -> list[list[str]]:
    return [row[:column] + row[column + 1 :] for row in table]


def _shrunk(table: list[list[str]], line_characters: int, columns: Sequence[int], least: int) -> list[list[str]]:
    """The table with the widest of these columns made narrower until it fits, or until each has `least` characters."""
    widths, excess = _widths(table), _line_width(table) - line_characters
    for _ in range(excess):
        widest = max(columns, key=lambda column: widths[column], default=None)
        if widest is None or widths[widest] <= least:
            break
        widths[widest] -= 1
    return [[_ended(cell, width) for cell, width in zip(row, widths, strict=True)] for row in table]


def _widths(table: list[list[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*table, strict=True)]


def _line_width(table: list[list[str]]) -> int:
    return sum(_widths(table)) + len(_GAP) * (len(table[0]) - 1)


def _ended(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: width - 1] + "…"


def damaged_rows(client: Client, kind: str | None = None) -> list[dict[str, Any]]:
    """What lists leave out because it cannot be read, which only administrators see."""
    try:
        return client.damaged(kind)
    except NotAllowed:
        return []


def print_damaged(rows: Iterable[dict[str, Any]]) -> None:
    """The rows that a list leaves out because they cannot be read."""
    for row in rows:
        click.secho(f"Damaged: {row['kind']} {row['name']} ({row['id']}): {row['reason']}", fg="red")
        click.echo(f"Restore a backup, or delete it: headway damaged delete {row['kind']} {row['id']}")


def _colour(cell: str) -> str:
    colour = STATUS_COLOURS.get(cell.strip())
    return click.style(cell, fg=colour) if colour else cell


def status_text(status: str) -> str:
    """The status in its colour."""
    return click.style(status, fg=STATUS_COLOURS[status], bold=True)


def when(seconds: float | None) -> str:
    """A date and time for people."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S") if seconds else "-"


def when_briefly(seconds: float | None) -> str:
    """A date and time in twelve characters at most: the time today, the day and time this year, else the date."""
    if not seconds:
        return "-"
    moment, now = datetime.fromtimestamp(seconds), datetime.now()
    if moment.date() == now.date():
        return f"{moment:%H:%M:%S}"
    return f"{moment:%b %d %H:%M}" if moment.year == now.year else f"{moment:%Y-%m-%d}"


def duration(seconds: float | None) -> str:
    """A length of time for people."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def figure(value: Any, form: str) -> str:
    """A number of a result for people. A script may return any other value, and in JSON NaN is text."""
    return format(value, form) if isinstance(value, int | float) else str(value)[:20]
