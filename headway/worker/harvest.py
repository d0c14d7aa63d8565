"""What was new in the files of an attempt's ranks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headway.core.facts import Fact
from headway.reports import LogLine, Series
from headway.run_records import checked_metric, checked_step, clean_text
from headway.worker.checkpoints import SavedPart

MAXIMUM_SERIES = 5_000
"""Metrics of one rank in one attempt; a script that makes up a name per step must not fill the server's memory."""


class TooManyMetrics(ValueError):
    """A rank logs a metric beyond MAXIMUM_SERIES."""


class KnownSeries:
    """The metrics that the ranks of one attempt have logged, within a bound per rank."""

    def __init__(self) -> None:
        self._names: dict[int, set[str]] = {}

    def admit(self, name: str, rank: int) -> None:
        """Count the name as one of the rank's. Raises TooManyMetrics when it would be one too many."""
        names = self._names.setdefault(rank, set())
        if name not in names and len(names) >= MAXIMUM_SERIES:
            raise TooManyMetrics(f"metric {name[:40]!r} would be the rank's {MAXIMUM_SERIES + 1:,}th: give fewer names")
        names.add(name)


@dataclass
class Harvest:
    """What was new in the files, and how far they are read then.

    `saved`: parts of checkpoints; `interrupted`: ranks that left because they were asked to, not because they were
    through. `marks`: how long a rank's log was when it saved a checkpoint, and when that was. `more`: the files have
    more; `read_bytes`: how much was read.
    """

    known: KnownSeries = field(default_factory=KnownSeries)
    lines: list[LogLine] = field(default_factory=list)
    series: dict[tuple[str, int], Series] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    errors: dict[int, dict[str, Any]] = field(default_factory=dict)
    saved: list[SavedPart] = field(default_factory=list)
    interrupted: set[int] = field(default_factory=set)
    offsets: dict[str, list[int]] = field(default_factory=dict)
    marks: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    more: bool = False
    read_bytes: int = 0

    def add_point(self, name: str, rank: int, step: int, at: float, value: float) -> None:
        """One more point of a series. Raises ValueError for a name or a step that cannot be stored."""
        name = clean_text(checked_metric(name))
        step = checked_step(step)
        series = self.series.get((name, rank))
        if series is None:
            self.known.admit(name, rank)
            series = self.series[name, rank] = Series(name, rank)
        series.steps.append(step)
        series.times.append(at)
        series.values.append(value)

    @property
    def empty(self) -> bool:
        """Whether nothing was new."""
        return not (self.lines or self.series or self.facts or self.saved)
