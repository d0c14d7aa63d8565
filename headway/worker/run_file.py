"""Reads the run records of one rank: metrics and facts. The rank owns the file, so it may contain anything."""

from __future__ import annotations

import json
import time
from math import isfinite
from pathlib import Path

from pydantic import ValidationError

from headway.core.facts import (
    AsksToSave,
    CheckpointNotSaved,
    CheckpointRestored,
    Fact,
    LinksLeftOut,
    RankFinished,
    ResultStored,
    StageReached,
)
from headway.errors import Corrupt
from headway.formats.reports import LogLine
from headway.formats.sections import LATEST_SECONDS
from headway.rank_protocol import run_records
from headway.rank_protocol.checkpoint_parts import PartKind
from headway.rank_protocol.record_bounds import MAXIMUM_RECORD_BYTES, checked_step, clean_text, storable
from headway.rank_protocol.run_records import (
    CheckpointBegun,
    CheckpointSaved,
    FactRecord,
    Metrics,
    RankError,
    RankInterrupted,
    Record,
    parse_record,
)
from headway.worker.checkpoints import SavedPart
from headway.worker.harvest import Harvest
from headway.worker.regular_files import read_part

MAXIMUM_READ_BYTES = 1 << 20
_SKIPPING = "skipping:"
"""The name in the offsets which says that the end of a record that is too large is being searched."""
_MAXIMUM_STAGES = 100
_MAXIMUM_FACTS = 1_000
_NAMED_DROPS = 10
"""How many dropped records are named in the log; further ones are only counted."""
_ERROR_CHARACTERS, _TRACEBACK_CHARACTERS = 4_000, 40_000
_UNREADABLE = (Corrupt, ValueError, TypeError, AttributeError, OverflowError, RecursionError)


class RunFile:
    """The records of one rank. Records that are too large or unreadable are dropped: named in its log, or counted."""

    def __init__(self, path: Path, rank: int) -> None:
        self._path = path
        self._rank = rank
        self._stages: dict[str, int | None] = {}
        self._dropped = 0

    def read(self, offset: int, harvest: Harvest) -> int:
        """Take new records after `offset`. Returns the new offset. Raises OSError."""
        dropped_before = self._dropped
        content = read_part(self._path, offset, MAXIMUM_READ_BYTES)
        harvest.read_bytes += len(content)
        harvest.more |= len(content) == MAXIMUM_READ_BYTES
        start = self._behind_what_is_skipped(content, harvest)
        end = content.rfind(b"\n") + 1
        for line in content[start:end].split(b"\n")[:-1]:
            try:
                self._take(_parsed(line), harvest)
            except ValidationError as error:
                self._drop(f"{error.error_count()} of its fields are wrong: {error.errors()[0]['msg']}", harvest)
            except _UNREADABLE as error:
                self._drop(str(error) or type(error).__name__, harvest)
        if len(content) - max(start, end) > MAXIMUM_RECORD_BYTES:
            harvest.offsets[f"{_SKIPPING}{self._rank}"] = [1]
            self._drop(_too_large("more than"), harvest)
            end = len(content)
        uncounted = self._dropped - max(dropped_before, _NAMED_DROPS)
        if uncounted > 0:
            self._say(f"{uncounted:,} more unreadable run records dropped", harvest)
        return offset + max(start, end)

    def _behind_what_is_skipped(self, content: bytes, harvest: Harvest) -> int:
        """Where the first record starts: after the rest of one that is too large, if there is one."""
        key = f"{_SKIPPING}{self._rank}"
        if key not in harvest.offsets or not content:
            return 0
        end = content.find(b"\n") + 1
        if end == 0:
            return len(content)
        del harvest.offsets[key]
        return end

    def _take(self, record: Record, harvest: Harvest) -> None:
        match record:
            case Metrics():
                self._take_metrics(record, harvest)
            case CheckpointBegun(at, log_bytes):
                harvest.marks.setdefault(self._rank, []).append((int(log_bytes), _checked_time(at)))
            case CheckpointSaved():
                self._take_saved(record, harvest)
            case RankInterrupted():
                harvest.interrupted.add(self._rank)
            case RankError():
                harvest.errors[self._rank] = _bounded(record)
            case _:
                self._add_fact(_fact(record, self._rank), harvest)

    def _take_metrics(self, metrics: Metrics, harvest: Harvest) -> None:
        step, at = int(metrics.step), _checked_time(metrics.at)
        refused = None
        for name, value in metrics.values.items():
            try:
                harvest.add_point(name, self._rank, step, at, float(value))
            except ValueError as error:  # the others count
                refused = error
        if refused is not None:
            raise refused

    def _take_saved(self, saved: CheckpointSaved, harvest: Harvest) -> None:
        step, saved_at = checked_step(int(saved.step)), _checked_time(saved.at)
        if step < 0:
            raise ValueError(f"the step of a checkpoint is {step}")
        if len(harvest.saved) >= _MAXIMUM_FACTS:
            raise ValueError(f"it is one of more than {_MAXIMUM_FACTS:,} at once")
        harvest.saved.append(SavedPart(self._rank, step, saved_at, PartKind(saved.kind), bool(saved.replica)))

    def _add_fact(self, fact: Fact, harvest: Harvest) -> None:
        """Take a fact, unless it is known: a rank that keeps repeating itself must not fill the job."""
        if isinstance(fact, StageReached):
            if self._stages.get(fact.stage, -1) == fact.total_steps:
                return
            if fact.stage not in self._stages and len(self._stages) >= _MAXIMUM_STAGES:
                raise ValueError(f"stage {fact.stage!r} is one of more than {_MAXIMUM_STAGES}")
            self._stages[fact.stage] = fact.total_steps
        if isinstance(fact, ResultStored):
            if self._rank != 0:
                raise ValueError("only rank 0 may set the result")
            harvest.facts = [other for other in harvest.facts if not isinstance(other, ResultStored)]
        if len(harvest.facts) >= _MAXIMUM_FACTS:
            raise ValueError(f"it is one of more than {_MAXIMUM_FACTS:,} at once")
        if fact not in harvest.facts[-_MAXIMUM_STAGES:]:
            harvest.facts.append(fact)

    def _drop(self, why: str, harvest: Harvest) -> None:
        self._dropped += 1
        harvest.dropped_records += 1
        if self._dropped <= _NAMED_DROPS:
            self._say(f"unreadable run record dropped: {clean_text(why)[:500]}", harvest)

    def _say(self, words: str, harvest: Harvest) -> None:
        harvest.lines.append(LogLine(self._rank, time.time(), f"headway: {words}"))


def _too_large(size: str) -> str:
    return f"it has {size} bytes; the limit is {MAXIMUM_RECORD_BYTES:,}. Write larger data to a file in the outputs."


def _parsed(line: bytes) -> Record:
    if len(line) > MAXIMUM_RECORD_BYTES:
        raise ValueError(_too_large(f"{len(line):,}"))
    values = json.loads(line)
    if not isinstance(values, dict):
        raise TypeError(f"it is a {type(values).__name__}, not an object")
    return parse_record(storable(values, "the record", -1))


def _fact(record: FactRecord, rank: int) -> Fact:
    """The fact in a record. A rank states facts about itself or the attempt, not about other ranks. Raises
    ValidationError.
    """
    match record:
        case run_records.StageReached(stage, at, total_steps):
            return StageReached(stage=stage, at=_checked_time(at), total_steps=total_steps)
        case run_records.ResultStored(result):
            return ResultStored(result=result)
        case run_records.RankFinished():
            return RankFinished(rank=rank)
        case run_records.AsksToSave():
            return AsksToSave()
        case run_records.CheckpointNotSaved(step, _, error):
            return CheckpointNotSaved(step=step, rank=rank, error=error)
        case run_records.LinksLeftOut(step, names, count):
            return LinksLeftOut(step=step, names=tuple(names), count=count)
        case run_records.CheckpointRestored(step):
            return CheckpointRestored(step=step)


def _checked_time(value: float) -> float:
    at = float(value)
    if not (isfinite(at) and 0 <= at <= LATEST_SECONDS):
        raise ValueError(f"its time is {at}")
    return at


def _bounded(raised: RankError) -> RankError:
    """An exception's record, cut to the limits of the fact about the rank's end."""
    traceback = raised.traceback
    return RankError(
        error=str(raised.error)[:_ERROR_CHARACTERS],
        traceback=None if traceback is None else str(traceback)[-_TRACEBACK_CHARACTERS:],
        secondary=bool(raised.secondary),
        out_of_memory=bool(raised.out_of_memory),
        environment=bool(raised.environment),
    )
