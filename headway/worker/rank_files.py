"""Tails the two files of each rank: its output, and its run records (metrics and facts)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from headway.core.checkpoint import MAXIMUM_CHECKPOINT_METRICS
from headway.formats.metric_patterns import MetricPatterns
from headway.formats.reports import LogLine
from headway.rank_protocol.paths import SETUP_RANK, log_file, run_file
from headway.worker.checkpoints import SavedPart
from headway.worker.event_tail import EventTail
from headway.worker.harvest import MAXIMUM_HARVEST_BYTES, Harvest, KnownSeries
from headway.worker.log_space import LogSpace
from headway.worker.regular_files import open_regular, read_part, size_of
from headway.worker.run_file import MAXIMUM_READ_BYTES, RunFile
from headway.worker.unfinished_lines import UnfinishedLines, last_drawn

MAXIMUM_LINE_BYTES = 64 << 10
_MAXIMUM_BAR_BYTES = 1 << 10
_MAXIMUM_READ_LINES = 1 << 14
"""The most bytes to read of one rank for one report."""
_MAXIMUM_HARVEST_LINES = 1 << 14
"""After this many lines or series for one report, the files of the next ranks wait: a server accepts 65,536 lines."""
_TAIL_BYTES = 64 << 10
_DROPPED_BYTES = 16 << 20
"""How much dropped output may be on the disk before the file is truncated."""
_COUNT = "count:"
"""The prefix of the names of a pattern's match counts in the offsets."""


class _Printed(NamedTuple):
    """The size of a rank's log at a time."""

    size_bytes: int
    at: float


class RankFiles:
    """The files of the ranks of one attempt on this worker, and of its preparation, which counts as rank -1.

    The read positions are only in the offsets, which every report contains. So a restarted worker continues exactly
    after the last report. Per rank: bytes read of its log and of its records, and bytes kept of its log.
    """

    def __init__(
        self,
        folder: Path,
        ranks: Iterable[int],
        *,
        maximum_log_bytes: int,
        patterns: MetricPatterns | None = None,
    ) -> None:
        self._folder = folder
        self._ranks = [SETUP_RANK, *ranks]
        self._maximum_log_bytes = maximum_log_bytes
        self._patterns = patterns or MetricPatterns({})
        self._known = KnownSeries()
        self._runs = {rank: RunFile(run_file(folder, rank), rank) for rank in self._ranks}
        self._events = EventTail(self._ranks[1] if len(self._ranks) > 1 else 0)
        self._sizes: dict[str, list[int]] = {}
        self._logged: dict[str, tuple[int, float]] = {}
        self._unreadable: set[Path] = set()
        self._unfinished = UnfinishedLines()
        self._space = LogSpace()

    def name_processes(self, ranks: dict[int, int]) -> None:
        """Set the rank of each process (pid to rank). The names of event files contain the pid."""
        self._events.rank_of_process = ranks

    def read_events(self, folders: dict[str, Path]) -> None:
        """Start to read the event files below these folders (by name). Their present content is skipped."""
        self._events.begin(folders)

    @property
    def logged_step(self) -> int | None:
        """The largest step in what rank 0 logged last."""
        return max((step for step, _ in self._logged.values()), default=None)

    @property
    def warnings(self) -> list[str]:
        """Warnings for the job's user about what was read."""
        return self._known.warnings

    def grown(self, offsets: dict[str, list[int]]) -> bool:
        """Whether there is something to read after `offsets`. Costs a few stat calls per rank, and sometimes a walk."""
        sizes = {
            str(rank): [size_of(log_file(self._folder, rank)), size_of(run_file(self._folder, rank))]
            for rank in self._ranks
        }
        sizes |= self._events.sizes()
        grown = sizes != self._sizes and any(
            size != offsets.get(key, self._events.start(key))[: len(size)] for key, size in sizes.items()
        )
        self._sizes = sizes
        return grown or self._unfinished.waiting

    def harvest(self, offsets: dict[str, list[int]], *, final: bool = False) -> Harvest:
        """Read new content after `offsets`. A line without an end is `partial`, unless `final`. Blocks on the disk."""
        harvest = Harvest(self._known, offsets={key: list(values) for key, values in offsets.items()})
        for number, rank in enumerate(self._ranks):
            full = max(len(harvest.lines), len(harvest.series)) >= _MAXIMUM_HARVEST_LINES
            if full or harvest.read_bytes >= MAXIMUM_HARVEST_BYTES:
                self._ranks = self._ranks[number:] + self._ranks[:number]  # so that each rank gets its turn
                harvest.more = True
                break
            log_offset, run_offset, kept_bytes = (*offsets.get(str(rank), ()), 0, 0, 0)[:3]
            # First the size: a rank records a checkpoint before it prints more, so lines up to here have their mark.
            printed = _Printed(size_of(log_file(self._folder, rank)), time.time())
            try:
                run_offset = self._runs[rank].read(run_offset, harvest)
            except OSError as error:
                self._say_unreadable(run_file(self._folder, rank), rank, error, harvest)
            try:
                log_offset, kept_bytes = self._read_log(rank, log_offset, kept_bytes, printed, harvest, final)
            except OSError as error:
                self._say_unreadable(log_file(self._folder, rank), rank, error, harvest)
            harvest.offsets[str(rank)] = [log_offset, run_offset, kept_bytes]
        self._events.read(harvest, final=final)
        harvest.lines += self._known.news(time.time())
        harvest.saved = [self._with_metrics(part, harvest) for part in harvest.saved]
        for (name, rank), series in harvest.series.items():
            if rank == 0:
                self._logged[name] = series.steps[-1], series.values[-1]
        return harvest

    def _say_unreadable(self, path: Path, rank: int, error: OSError, harvest: Harvest) -> None:
        if path not in self._unreadable:
            self._unreadable.add(path)
            words = f"headway: {path.name} cannot be read, so its lines are missing here: {error.strerror}"
            harvest.lines.append(LogLine(rank, time.time(), words))

    def _with_metrics(self, part: SavedPart, harvest: Harvest) -> SavedPart:
        """Rank 0's part with the newest metrics up to its step."""
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
        path = log_file(self._folder, rank)
        try:
            content = read_part(path, max(0, size_of(path) - _TAIL_BYTES), _TAIL_BYTES)
        except OSError:
            return ()
        return tuple(_text(line) for line in content.removesuffix(b"\n").split(b"\n")[-count:])

    def _read_log(
        self, rank: int, offset: int, kept_bytes: int, printed: _Printed, harvest: Harvest, final: bool
    ) -> tuple[int, int]:
        """Read new lines. Lines printed before a checkpoint was saved get a time that is not later than the
        checkpoint's.
        """
        path = log_file(self._folder, rank)
        if kept_bytes >= self._maximum_log_bytes:
            harvest.dropped_output_bytes += max(0, printed.size_bytes - offset)
            return _drop(path, self._maximum_log_bytes), kept_bytes
        content = read_part(path, offset, max(0, min(MAXIMUM_READ_BYTES, printed.size_bytes - offset)))
        harvest.read_bytes += len(content)
        harvest.more |= len(content) == MAXIMUM_READ_BYTES
        end = unfinished = content.rfind(b"\n") + 1
        drawn = end + last_drawn(content[end:])
        if final and len(content) < MAXIMUM_READ_BYTES:
            end = len(content)
        elif end == 0 and len(content) - drawn >= MAXIMUM_LINE_BYTES:
            end = MAXIMUM_LINE_BYTES
        now, marks, position = printed.at, harvest.marks.get(rank, ()), offset
        lines = content[:end].removesuffix(b"\n").split(b"\n", _MAXIMUM_READ_LINES) if end else []
        if len(lines) > _MAXIMUM_READ_LINES:
            lines = lines[:_MAXIMUM_READ_LINES]
            end = sum(map(len, lines)) + len(lines)
            harvest.more = True
        for line in lines:
            at = next((min(saved_at, now) for size, saved_at in marks if position < size), now)
            position += len(line) + 1
            shown = line[last_drawn(line) :]
            for start in range(0, len(shown) or 1, MAXIMUM_LINE_BYTES):
                text = _text(shown[start : start + MAXIMUM_LINE_BYTES])
                harvest.lines.append(LogLine(rank, at, text))
                if self._patterns:
                    self._find_metrics(rank, text, now, harvest)
        kept_bytes += end
        if end:
            self._unfinished.end(rank)
        at_once = len(content) >= MAXIMUM_LINE_BYTES
        bar = content[drawn:][-_MAXIMUM_BAR_BYTES:]
        if end == unfinished and not final and self._unfinished.news(rank, bar, now, at_once=at_once):
            harvest.lines.append(LogLine(rank, now, _text(bar), partial=True))
            kept_bytes += len(bar)
            end = drawn
        elif end == 0 and len(content) == MAXIMUM_READ_BYTES:
            end = drawn  # skip overdrawn text, or nothing after it would ever be read
        if not self._space.give_back(path, offset):
            kept_bytes = max(kept_bytes, offset)  # overdrawn text counts as well, since it stays on the disk
        if kept_bytes >= self._maximum_log_bytes:
            words = f"headway: only {self._maximum_log_bytes:,} bytes of output are kept (HEADWAY_MAXIMUM_LOG_BYTES); "
            harvest.lines.append(LogLine(rank, now, words + "the rest of this rank's output is dropped."))
        return offset + end, kept_bytes

    def _find_metrics(self, rank: int, text: str, now: float, harvest: Harvest) -> None:
        for name, step, value in self._patterns.find(text):
            key = f"{_COUNT}{rank}:{name}"
            (count,) = harvest.offsets.get(key, [0])
            harvest.offsets[key] = [count + 1]
            with suppress(ValueError):  # the line has an impossible step
                harvest.add_point(name, rank, count + 1 if step is None else step, now, value)


def _drop(path: Path, maximum_log_bytes: int) -> int:
    """Skip new content. Truncate a file that keeps growing: ranks append to it, so they continue at its new end."""
    size = size_of(path)
    if size > maximum_log_bytes + _DROPPED_BYTES:
        descriptor = open_regular(path, os.O_WRONLY)
        os.ftruncate(descriptor, 0)
        os.close(descriptor)
        return 0
    return size


def _text(line: bytes) -> str:
    # A progress bar redraws its line after carriage returns. Only the last drawing counts.
    return line.rstrip(b"\r\n").rpartition(b"\r")[2].decode(errors="replace")
