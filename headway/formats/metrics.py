"""Metric points in reports: series as packed columns. A reader decodes only the series that it selects."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headway.core.metric import SYSTEM
from headway.errors import Corrupt
from headway.formats.sections import array_of, compress, parsed, section_entries, times_of

MAXIMUM_REPORT_SERIES = 1 << 17
"""The most points of one report. A worker begins the next report long before this limit."""
MAXIMUM_REPORT_POINTS = 1 << 21
"""The most bytes of all series of one report. A worker reads at most 7 MiB of records for one report."""
METRIC_ITEMS = 6 * MAXIMUM_REPORT_SERIES + 8
"""The most items of a report's series: each is a list of five, plus the lists that hold them."""
_STEP_BYTES = 8
_Packed = tuple[str, int, bytes, bytes, bytes]
"""A stored series: name, rank, and its columns of steps, times and values."""


@dataclass(slots=True)
class Series:
    """Points of one metric of one rank: int64 steps, float64 times and values, all of the same length."""

    name: str
    rank: int
    steps: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))


class Selection(NamedTuple):
    """Which points to read: of the series with these names, or of all except samples, between two steps inclusive."""

    names: Collection[str] = ()
    first_step: int | None = None
    last_step: int | None = None

    def names_series(self, name: str) -> bool:
        """Whether to read points of this series."""
        return name in self.names if self.names else not name.startswith(SYSTEM)


def encode_metrics(number: int, series: Iterable[Series]) -> bytes:
    """The series of report `number` as one section of packed arrays; empty bytes for no points."""
    packed = [
        (one.name, one.rank, one.steps.tobytes(), one.times.tobytes(), one.values.tobytes())
        for one in series
        if one.steps
    ]
    return compress([(number, packed)]) if packed else b""


def decode_metrics(sections: Iterable[bytes]) -> list[Series]:
    """All series of some sections, joined by name and rank. Raises Corrupt."""
    return _joined(
        one
        for section in sections
        for _, content in section_entries(section, METRIC_ITEMS)
        for one in parsed(section, all_series, content)
    )


def select_metrics(sections: Sequence[bytes], selection: Selection) -> list[Series]:
    """The selected points of some sections. Sections that cannot be read are left out.

    Series are selected by name before their columns are decoded, and points by step before times and values are.
    """
    return _joined(one for section in sections for one in _selected(section, selection))


def logged_steps(sections: Iterable[bytes]) -> tuple[int, int] | None:
    """The first and the last step of all series except samples, of the readable sections; None if there are none."""
    import numpy as np

    found: list[int] = []
    for section in sections:
        try:
            columns = [one[2] for one in _packed_series(section) if one[2] and not one[0].startswith(SYSTEM)]
        except Corrupt:
            continue
        for column in columns:
            steps = np.frombuffer(column, dtype=np.int64)
            found += [int(steps.min()), int(steps.max())]
    return (min(found), max(found)) if found else None


def chosen_series(
    section: bytes, choose: Callable[[Collection[tuple[str, int]]], tuple[str, int]]
) -> tuple[str, int, list[tuple[int, float]]] | None:
    """The name, rank and points, as steps and values, of the series that `choose` chooses by name and rank.

    Samples are left out. None if there is no series, or the section cannot be read.
    """
    try:
        packed = [one for one in _packed_series(section) if one[2] and not one[0].startswith(SYSTEM)] if section else []
    except Corrupt:
        return None
    if not packed:
        return None
    name, rank = choose({(one[0], one[1]) for one in packed})
    points = [
        point
        for one in packed
        if (one[0], one[1]) == (name, rank)
        for point in zip(array_of("q", one[2]), array_of("d", one[4]), strict=True)
    ]
    return name, rank, points


def all_series(content: Any) -> list[Series]:
    """The series of one report. Raises ValueError, TypeError."""
    return [_series(*one) for one in _checked(content)]


def _packed_series(section: bytes) -> Iterator[_Packed]:
    for _, content in section_entries(section, METRIC_ITEMS):
        yield from parsed(section, _checked, content)


def _checked(content: Any) -> list[_Packed]:
    """A report's series, within their bounds, with columns that are not decoded."""
    found: list[_Packed] = []
    points = 0
    for name, rank, steps, times, values in content:
        if type(name) is not str or type(rank) is not int:
            raise TypeError("the name of a series is not text, or its rank not an integer")
        if not type(steps) is type(times) is type(values) is bytes:
            raise TypeError("a column of a series is not bytes")
        if not len(steps) == len(times) == len(values):
            raise ValueError("a series has columns of different lengths")
        if len(steps) % _STEP_BYTES:
            raise ValueError("a column of a series is not whole")
        points += len(steps) // _STEP_BYTES
        found.append((name, rank, steps, times, values))
    if points > MAXIMUM_REPORT_POINTS:
        raise ValueError(f"a report has more than the {MAXIMUM_REPORT_POINTS:,} points allowed")
    return found


def _selected(section: bytes, selection: Selection) -> list[Series]:
    found: list[Series] = []
    try:
        for one in _packed_series(section):
            if selection.names_series(one[0]):
                found += parsed(section, lambda packed: [_within(packed, selection)], one)
    except Corrupt:
        return []
    return found


def _within(packed: _Packed, selection: Selection) -> Series:
    """The points of a series between the selected steps. Raises ValueError."""
    import numpy as np

    name, rank, *columns = packed
    steps = np.frombuffer(columns[0], dtype=np.int64)
    keep = np.ones(len(steps), dtype=bool)
    if selection.first_step is not None:
        keep &= steps >= selection.first_step
    if selection.last_step is not None:
        keep &= steps <= selection.last_step
    if not keep.all():
        columns = [np.frombuffer(column, dtype=np.int64)[keep].tobytes() for column in columns]
    return _series(name, rank, *columns)


def _series(name: str, rank: int, steps: bytes, times: bytes, values: bytes) -> Series:
    return Series(name, rank, array_of("q", steps), times_of(times), array_of("d", values))


def _joined(found: Iterable[Series]) -> list[Series]:
    merged: dict[tuple[str, int], Series] = {}
    for one in found:
        series = merged.setdefault((one.name, one.rank), one)
        if series is not one:
            series.steps.extend(one.steps)
            series.times.extend(one.times)
            series.values.extend(one.values)
    return list(merged.values())
