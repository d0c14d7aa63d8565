"""What was new in the files of an attempt's ranks."""

from __future__ import annotations

from dataclasses import dataclass, field

from headway.core.facts import Fact
from headway.formats.metrics import Series
from headway.formats.reports import LogLine
from headway.rank_protocol.record_bounds import checked_metric, checked_step, clean_text, one_line
from headway.rank_protocol.records import RankError
from headway.worker.checkpoints import SavedPart

MAXIMUM_HARVEST_BYTES = 6 << 20
"""Read for one report, from which on further files wait for the next report: a broker carries 16 MiB."""
MAXIMUM_SERIES = 5_000
"""Metrics of one rank in one attempt; a script that makes up a name per step must not fill the server's memory."""
_MAXIMUM_COUNTED = 20_000
"""Names beyond that which are counted, per rank."""


class KnownSeries:
    """The metrics that the ranks of one attempt have logged, within a bound per rank; names beyond it are counted."""

    def __init__(self) -> None:
        self._names: dict[int, set[str]] = {}
        self._dropped: dict[int, dict[str, None]] = {}
        self._told: dict[int, int] = {}

    def admit(self, name: str, rank: int) -> bool:
        """Count the name as one of the rank's. False if the rank has MAXIMUM_SERIES others."""
        names = self._names.setdefault(rank, set())
        if name not in names and len(names) >= MAXIMUM_SERIES:
            dropped = self._dropped.setdefault(rank, {})
            if len(dropped) < _MAXIMUM_COUNTED:
                dropped[name] = None
            return False
        names.add(name)
        return True

    def news(self, now: float) -> list[LogLine]:
        """A line about each rank with dropped names, again whenever these have become ten times as many."""
        lines = []
        for rank, dropped in self._dropped.items():
            if len(dropped) >= 10 * self._told.get(rank, 0) > 0 or rank not in self._told:
                self._told[rank] = len(dropped)
                words = f"headway: the rank has {MAXIMUM_SERIES:,} metrics already; {_named(dropped, 'dropped')}."
                lines.append(LogLine(rank, now, words))
        return lines

    @property
    def warnings(self) -> list[str]:
        """What the job's user is to know at the end of the attempt."""
        if not self._dropped:
            return []
        rank, dropped = min(self._dropped.items())
        others = len(self._dropped) - 1
        so_did = f", and so did {others:,} more rank{'s' if others > 1 else ''}" if others else ""
        return [f"Rank {rank} logged more than {MAXIMUM_SERIES:,} metrics{so_did}: {_named(dropped, 'not kept')}."]


def _named(dropped: dict[str, None], what: str) -> str:
    first, more = repr(next(iter(dropped))[:40]), len(dropped) - 1
    at_least = "at least " if len(dropped) == _MAXIMUM_COUNTED else ""
    many = f" and {at_least}{more:,} more name{'s' if more > 1 else ''} are" if more else " is"
    return f"{first}{many} {what}. Give fewer names"


@dataclass
class Harvest:
    """What was new in the files, and how far they are read then.

    `saved`: parts of checkpoints; `interrupted`: ranks that left because they were asked to, not because they were
    through. `marks`: how long a rank's log was when it saved a checkpoint, and when that was. `more`: the files have
    more; `read_bytes`: how much was read. `dropped_...`: what is beyond a bound, or cannot be read.
    """

    known: KnownSeries = field(default_factory=KnownSeries)
    lines: list[LogLine] = field(default_factory=list)
    series: dict[tuple[str, int], Series] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    errors: dict[int, RankError] = field(default_factory=dict)
    saved: list[SavedPart] = field(default_factory=list)
    interrupted: set[int] = field(default_factory=set)
    offsets: dict[str, list[int]] = field(default_factory=dict)
    marks: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    more: bool = False
    read_bytes: int = 0
    dropped_records: int = 0
    dropped_points: int = 0
    dropped_output_bytes: int = 0

    def add_point(self, name: str, rank: int, step: int, at: float, value: float) -> None:
        """One more point of a series, unless its rank has too many.

        Raises ValueError for a name or a step that cannot be stored.
        """
        name = one_line(clean_text(checked_metric(name)))
        step = checked_step(step)
        series = self.series.get((name, rank))
        if series is None:
            if not self.known.admit(name, rank):
                self.dropped_points += 1
                return
            series = self.series[name, rank] = Series(name, rank)
        series.steps.append(step)
        series.times.append(at)
        series.values.append(value)

    @property
    def empty(self) -> bool:
        """Whether nothing was new."""
        return not (self.lines or self.series or self.facts or self.saved)
