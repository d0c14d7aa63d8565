"""The new content of the files of an attempt's ranks."""

from __future__ import annotations

from dataclasses import dataclass, field

from headway.core.facts import Fact
from headway.formats.metrics import Series
from headway.formats.reports import LogLine
from headway.rank_protocol.record_bounds import checked_metric, checked_step, clean_text, one_line
from headway.rank_protocol.run_records import RankError
from headway.worker.checkpoints import SavedPart

MAXIMUM_HARVEST_BYTES = 6 << 20
"""After reading this much for one report, other files wait for the next: a broker carries at most 16 MiB."""
MAXIMUM_SERIES = 5_000
"""The most metrics of one rank in an attempt: a script with a new name per step must not fill the server's memory."""
_MAXIMUM_COUNTED = 20_000
"""How many dropped names are counted, per rank."""


class KnownSeries:
    """The metrics that the ranks of one attempt have logged, up to a limit per rank. Names beyond it are counted."""

    def __init__(self) -> None:
        self._names: dict[int, set[str]] = {}
        self._dropped: dict[int, dict[str, None]] = {}
        self._told: dict[int, int] = {}

    def admit(self, name: str, rank: int) -> bool:
        """Add the name to the rank's metrics. False if the rank already has MAXIMUM_SERIES others."""
        names = self._names.setdefault(rank, set())
        if name not in names and len(names) >= MAXIMUM_SERIES:
            dropped = self._dropped.setdefault(rank, {})
            if len(dropped) < _MAXIMUM_COUNTED:
                dropped[name] = None
            return False
        names.add(name)
        return True

    def news(self, now: float) -> list[LogLine]:
        """A line about each rank with dropped names, and again each time their number has grown tenfold."""
        lines = []
        for rank, dropped in self._dropped.items():
            if len(dropped) >= 10 * self._told.get(rank, 0) > 0 or rank not in self._told:
                self._told[rank] = len(dropped)
                words = f"headway: the rank has {MAXIMUM_SERIES:,} metrics already; {_named(dropped, 'dropped')}."
                lines.append(LogLine(rank, now, words))
        return lines

    @property
    def warnings(self) -> list[str]:
        """Warnings for the job's user at the end of the attempt."""
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
    """The new content of the files, and the offsets after it.

    `saved`: parts of checkpoints. `interrupted`: ranks that ended because they were asked to, before their script was
    done. `marks`: the size of a rank's log when it saved a checkpoint, and the time. `more`: the files have more.
    `read_bytes`: how much was read. `dropped_...`: content beyond a limit, or unreadable.
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
        """Add a point to a series, unless its rank has too many series.

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
        """Whether there is no new content."""
        return not (self.lines or self.series or self.facts or self.saved)
