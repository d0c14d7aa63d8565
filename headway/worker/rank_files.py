"""Tails the two files of each rank: what it prints, and what its run records (metrics and facts)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from headway.core.facts import FACTS, Fact
from headway.reports import LogLine, Series

MAXIMUM_READ_BYTES = 1 << 20
MAXIMUM_LINE_BYTES = 64 << 10
_TAIL_BYTES = 64 << 10


@dataclass
class Harvest:
    """What was new in the files, and how far they are read then."""

    lines: list[LogLine] = field(default_factory=list)
    series: dict[tuple[str, int], Series] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    errors: dict[int, dict[str, Any]] = field(default_factory=dict)
    offsets: dict[str, list[int]] = field(default_factory=dict)
    more: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing was new."""
        return not (self.lines or self.series or self.facts)


class RankFiles:
    """The files of the ranks of one attempt on this worker."""

    def __init__(self, folder: Path, ranks: Iterable[int]) -> None:
        self._folder = folder
        self._ranks = list(ranks)
        self._sizes: dict[str, list[int]] = {}

    def grown(self, offsets: dict[str, list[int]]) -> bool:
        """Whether there is something to read behind `offsets`; costs two stat calls per rank."""
        sizes = {
            str(rank): [_size(log_path(self._folder, rank)), _size(run_path(self._folder, rank))]
            for rank in self._ranks
        }
        grown = any(size != offsets.get(rank, [0, 0]) for rank, size in sizes.items()) and sizes != self._sizes
        self._sizes = sizes
        return grown

    def harvest(self, offsets: dict[str, list[int]], *, final: bool = False) -> Harvest:
        """Read what is new behind `offsets`, whole lines only unless `final`. Blocks on the disk."""
        harvest = Harvest(offsets={rank: list(pair) for rank, pair in offsets.items()})
        for rank in self._ranks:
            log_offset, run_offset = offsets.get(str(rank), [0, 0])
            log_offset = self._read_log(rank, log_offset, harvest, final)
            run_offset = self._read_run(rank, run_offset, harvest)
            harvest.offsets[str(rank)] = [log_offset, run_offset]
        return harvest

    def tail(self, rank: int, count: int) -> tuple[str, ...]:
        """The last lines that a rank printed."""
        path = log_path(self._folder, rank)
        content = _read(path, max(0, _size(path) - _TAIL_BYTES), _TAIL_BYTES)
        return tuple(_text(line) for line in content.removesuffix(b"\n").split(b"\n")[-count:])

    def _read_log(self, rank: int, offset: int, harvest: Harvest, final: bool) -> int:
        content = _read(log_path(self._folder, rank), offset, MAXIMUM_READ_BYTES)
        harvest.more |= len(content) == MAXIMUM_READ_BYTES
        end = content.rfind(b"\n") + 1
        if final and len(content) < MAXIMUM_READ_BYTES:
            end = len(content)
        elif end == 0 and len(content) >= MAXIMUM_LINE_BYTES:
            end = MAXIMUM_LINE_BYTES
        now = time.time()
        for line in content[:end].removesuffix(b"\n").split(b"\n") if end else ():
            for start in range(0, len(line) or 1, MAXIMUM_LINE_BYTES):
                harvest.lines.append(LogLine(rank, now, _text(line[start : start + MAXIMUM_LINE_BYTES])))
        return offset + end

    def _read_run(self, rank: int, offset: int, harvest: Harvest) -> int:
        content = _read(run_path(self._folder, rank), offset, MAXIMUM_READ_BYTES)
        harvest.more |= len(content) == MAXIMUM_READ_BYTES
        end = content.rfind(b"\n") + 1
        for line in content[:end].splitlines():
            try:
                self._take(rank, json.loads(line), harvest)
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
                harvest.lines.append(LogLine(rank, time.time(), f"headway: unreadable run record dropped: {error}"))
        return offset + end

    def _take(self, rank: int, record: dict[str, Any], harvest: Harvest) -> None:
        if "values" in record:
            step, at = int(record["step"]), float(record["at"])
            for name, value in record["values"].items():
                key = (name, rank)
                series = harvest.series.get(key)
                if series is None:
                    series = harvest.series[key] = Series(name, rank)
                number = float(value)
                series.steps.append(step)
                series.times.append(at)
                series.values.append(number)
            return
        if record["type"] == "rank_error":
            harvest.errors[rank] = record
            return
        try:
            harvest.facts.extend(FACTS.validate_python((record,)))
        except ValidationError as error:
            raise ValueError(str(error)) from error


def log_path(folder: Path, rank: int) -> Path:
    """What a rank prints."""
    return folder / f"rank-{rank}.log"


def run_path(folder: Path, rank: int) -> Path:
    """What a rank's run records, a JSON object per line."""
    return folder / f"rank-{rank}.run"


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
