"""Tails the two files of each rank: what it prints, and what its run records (metrics and facts)."""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from headway.core.checkpoint import MAXIMUM_CHECKPOINT_METRICS, PartKind
from headway.core.facts import FACTS, Fact
from headway.metric_patterns import MetricPatterns
from headway.reports import LogLine, Series
from headway.worker.checkpoints import SavedPart
from headway.worker.event_files import find_event_files, process_of, read_records, scalars
from headway.worker.preparation import setup_log

MAXIMUM_READ_BYTES = 1 << 20
MAXIMUM_LINE_BYTES = 64 << 10
SETUP_RANK = -1
_TAIL_BYTES = 64 << 10
_SEARCH_SECONDS = 2.0
_MAXIMUM_METRIC_CHARACTERS = 200
_DROPPED_BYTES = 16 << 20
"""Dropped output that may lie on the disk before the file is emptied."""
_EVENTS, _COUNT = "events:", "count:"
"""What offsets of event files, and counts of a pattern's matches, are called in the offsets."""


@dataclass
class Harvest:
    """What was new in the files, and how far they are read then.

    `saved`: parts of checkpoints; `interrupted`: ranks that left because they were asked to, not because they were
    through.
    """

    lines: list[LogLine] = field(default_factory=list)
    series: dict[tuple[str, int], Series] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    errors: dict[int, dict[str, Any]] = field(default_factory=dict)
    saved: list[SavedPart] = field(default_factory=list)
    interrupted: set[int] = field(default_factory=set)
    offsets: dict[str, list[int]] = field(default_factory=dict)
    more: bool = False

    def add_point(self, name: str, rank: int, step: int, at: float, value: float) -> None:
        """One more point of a series."""
        series = self.series.get((name, rank))
        if series is None:
            series = self.series[name, rank] = Series(name, rank)
        series.steps.append(step)
        series.times.append(at)
        series.values.append(value)

    @property
    def empty(self) -> bool:
        """Whether nothing was new."""
        return not (self.lines or self.series or self.facts or self.saved)


class RankFiles:
    """The files of the ranks of one attempt on this worker, and of its preparation, which counts as rank -1.

    Offsets are the whole memory of how far they are read: they are in every report, so that a restarted worker goes
    on exactly behind the last one. Per rank: bytes read of its log and of its records, and bytes of its log kept.
    """

    def __init__(
        self,
        folder: Path,
        ranks: Iterable[int],
        *,
        maximum_log_bytes: int,
        patterns: MetricPatterns | None = None,
        event_folders: tuple[Path, ...] = (),
    ) -> None:
        self._folder = folder
        self._ranks = [SETUP_RANK, *ranks]
        self._maximum_log_bytes = maximum_log_bytes
        self._patterns = patterns or MetricPatterns({})
        self._event_folders = event_folders
        self._event_files: dict[str, Path] = {}
        self._searched_at = float("-inf")
        self._sizes: dict[str, list[int]] = {}
        self._logged: dict[str, tuple[int, float]] = {}
        self.rank_of_process: dict[int, int] = {}

    @property
    def logged_step(self) -> int | None:
        """The greatest step of what rank 0 logged last."""
        return max((step for step, _ in self._logged.values()), default=None)

    def grown(self, offsets: dict[str, list[int]]) -> bool:
        """Whether there is something to read behind `offsets`; costs a few stat calls per rank."""
        self._search_event_files()
        sizes = {
            str(rank): [_size(log_path(self._folder, rank)), _size(run_path(self._folder, rank))]
            for rank in self._ranks
        }
        sizes |= {key: [_size(path)] for key, path in self._event_files.items()}
        grown = sizes != self._sizes and any(
            size != offsets.get(key, [0, 0])[: len(size)] for key, size in sizes.items()
        )
        self._sizes = sizes
        return grown

    def harvest(self, offsets: dict[str, list[int]], *, final: bool = False) -> Harvest:
        """Read what is new behind `offsets`, whole lines only unless `final`. Blocks on the disk."""
        harvest = Harvest(offsets={key: list(values) for key, values in offsets.items()})
        for rank in self._ranks:
            log_offset, run_offset, kept_bytes = (*offsets.get(str(rank), ()), 0, 0, 0)[:3]
            marks: list[tuple[int, float]] = []
            run_offset = self._read_run(rank, run_offset, harvest, marks)
            log_offset, kept_bytes = self._read_log(rank, log_offset, kept_bytes, harvest, final, marks)
            harvest.offsets[str(rank)] = [log_offset, run_offset, kept_bytes]
        if final:
            self._searched_at = float("-inf")
        self._search_event_files()
        for key, path in self._event_files.items():
            self._read_events(key, path, harvest)
        harvest.saved = [self._with_metrics(part, harvest) for part in harvest.saved]
        for (name, rank), series in harvest.series.items():
            if rank == 0:
                self._logged[name] = series.steps[-1], series.values[-1]
        return harvest

    def _with_metrics(self, part: SavedPart, harvest: Harvest) -> SavedPart:
        """Rank 0's part with what had been logged last up to its step."""
        if part.rank != 0:
            return part
        metrics = {name: value for name, (step, value) in self._logged.items() if step <= part.step}
        for (name, rank), series in harvest.series.items():
            up_to = [value for step, value in zip(series.steps, series.values, strict=True) if step <= part.step]
            if rank == 0 and up_to:
                metrics[name] = up_to[-1]
        finite = [(name, value) for name, value in metrics.items() if isfinite(value)]
        return replace(part, metrics=dict(finite[:MAXIMUM_CHECKPOINT_METRICS]))

    def tail(self, rank: int, count: int) -> tuple[str, ...]:
        """The last lines that a rank printed."""
        path = log_path(self._folder, rank)
        content = _read(path, max(0, _size(path) - _TAIL_BYTES), _TAIL_BYTES)
        return tuple(_text(line) for line in content.removesuffix(b"\n").split(b"\n")[-count:])

    def _read_log(
        self, rank: int, offset: int, kept_bytes: int, harvest: Harvest, final: bool, marks: list[tuple[int, float]]
    ) -> tuple[int, int]:
        """`marks`: how long the log was when a checkpoint was saved, and when; lines before it are no later."""
        path = log_path(self._folder, rank)
        if kept_bytes >= self._maximum_log_bytes:
            return _drop(path, self._maximum_log_bytes), kept_bytes
        content = _read(path, offset, MAXIMUM_READ_BYTES)
        harvest.more |= len(content) == MAXIMUM_READ_BYTES
        end = content.rfind(b"\n") + 1
        if final and len(content) < MAXIMUM_READ_BYTES:
            end = len(content)
        elif end == 0 and len(content) >= MAXIMUM_LINE_BYTES:
            end = MAXIMUM_LINE_BYTES
        now = time.time()
        position = offset
        for line in content[:end].removesuffix(b"\n").split(b"\n") if end else ():
            at = next((saved_at for size, saved_at in marks if position < size), now)
            position += len(line) + 1
            for start in range(0, len(line) or 1, MAXIMUM_LINE_BYTES):
                text = _text(line[start : start + MAXIMUM_LINE_BYTES])
                harvest.lines.append(LogLine(rank, at, text))
                if self._patterns:
                    self._find_metrics(rank, text, now, harvest)
        kept_bytes += end
        if kept_bytes >= self._maximum_log_bytes:
            words = f"headway: {self._maximum_log_bytes:,} bytes of output are kept (HEADWAY_MAXIMUM_LOG_BYTES); "
            harvest.lines.append(LogLine(rank, now, words + "what this rank prints from here on is dropped."))
        return offset + end, kept_bytes

    def _find_metrics(self, rank: int, text: str, now: float, harvest: Harvest) -> None:
        for name, step, value in self._patterns.find(text):
            key = f"{_COUNT}{rank}:{name}"
            (count,) = harvest.offsets.get(key, [0])
            harvest.offsets[key] = [count + 1]
            harvest.add_point(name, rank, count + 1 if step is None else step, now, value)

    def _search_event_files(self) -> None:
        """Look for event files now and then: a walk through the working directory is not free."""
        if not self._event_folders or time.monotonic() - self._searched_at < _SEARCH_SECONDS:
            return
        self._searched_at = time.monotonic()
        for path in find_event_files(self._event_folders):
            self._event_files.setdefault(f"{_EVENTS}{path.relative_to(self._folder)}", path)

    def _read_events(self, key: str, path: Path, harvest: Harvest) -> None:
        (offset,) = harvest.offsets.get(key, [0])
        content = _read(path, offset, MAXIMUM_READ_BYTES)
        rank = self.rank_of_process.get(process_of(path) or 0, self._ranks[1] if len(self._ranks) > 1 else 0)
        read = 0
        try:
            for end, record in read_records(content):
                read = end
                for scalar in scalars(record):
                    name = scalar.tag[:_MAXIMUM_METRIC_CHARACTERS]
                    harvest.add_point(name, rank, scalar.step, scalar.at, scalar.value)
        except (ValueError, struct.error) as error:
            words = f"headway: {path.name} is not read any further, it is damaged: {error}"
            harvest.lines.append(LogLine(rank, time.time(), words))
            read = 1 << 62
        harvest.more |= read > 0 and len(content) == MAXIMUM_READ_BYTES
        harvest.offsets[key] = [offset + read]

    def _read_run(self, rank: int, offset: int, harvest: Harvest, marks: list[tuple[int, float]]) -> int:
        content = _read(run_path(self._folder, rank), offset, MAXIMUM_READ_BYTES)
        harvest.more |= len(content) == MAXIMUM_READ_BYTES
        end = content.rfind(b"\n") + 1
        for line in content[:end].splitlines():
            try:
                self._take(rank, json.loads(line), harvest, marks)
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
                harvest.lines.append(LogLine(rank, time.time(), f"headway: unreadable run record dropped: {error}"))
        return offset + end

    def _take(self, rank: int, record: dict[str, Any], harvest: Harvest, marks: list[tuple[int, float]]) -> None:
        if "values" in record:
            step, at = int(record["step"]), float(record["at"])
            for name, value in record["values"].items():
                harvest.add_point(name, rank, step, at, float(value))
            return
        if record["type"] == "checkpoint_saved":
            saved_at = float(record["at"])
            kind, replica = PartKind(record["kind"]), bool(record["replica"])
            harvest.saved.append(SavedPart(rank, int(record["step"]), saved_at, kind, replica))
            if record["log_bytes"] is not None:
                marks.append((int(record["log_bytes"]), saved_at))
            return
        if record["type"] == "rank_interrupted":
            harvest.interrupted.add(rank)
            return
        if record["type"] == "rank_error":
            harvest.errors[rank] = record
            return
        try:
            harvest.facts.extend(FACTS.validate_python((record,)))
        except ValidationError as error:
            raise ValueError(str(error)) from error


def log_path(folder: Path, rank: int) -> Path:
    """What a rank prints, or, as rank -1, its preparation."""
    return setup_log(folder) if rank == SETUP_RANK else folder / f"rank-{rank}.log"


def run_path(folder: Path, rank: int) -> Path:
    """What a rank's run records, a JSON object per line."""
    return folder / f"rank-{rank}.run"


def _drop(path: Path, maximum_log_bytes: int) -> int:
    """Leave what is new unread; empty a file that grows on, for ranks append to it wherever its end is."""
    size = _size(path)
    if size > maximum_log_bytes + _DROPPED_BYTES:
        os.truncate(path, 0)
        return 0
    return size


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read(path: Path, offset: int, maximum_bytes: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(descriptor, maximum_bytes, offset)
    finally:
        os.close(descriptor)


def _text(line: bytes) -> str:
    # A progress bar redraws its line after carriage returns; what it showed last is what counts.
    return line.rstrip(b"\r\n").rpartition(b"\r")[2].decode(errors="replace")
