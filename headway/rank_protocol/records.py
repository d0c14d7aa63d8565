"""Run records: what a rank writes for its worker, a JSON object per line of its run file.

A file may outlive a worker, and the next one may be newer: fields keep their names, and new ones have defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from headway.errors import Corrupt
from headway.rank_protocol.checkpoint_parts import PartKind
from headway.rank_protocol.fields import check_fields


class Metrics(NamedTuple):
    """Metrics of a step by name. `at` is in seconds since the epoch, as everywhere here."""

    step: int
    at: float
    values: dict[str, float]


class StageReached(NamedTuple):
    """The training reached a stage, such as `first_step`. `total_steps`: how many it will have, once it knows."""

    stage: str
    at: float
    total_steps: int | None = None


class ResultStored(NamedTuple):
    """The job's result. Rank 0's counts."""

    result: dict[str, Any]


class RankFinished(NamedTuple):
    """The rank's work is done; what its process does from here on is at most a warning."""

    rank: int


class RankInterrupted(NamedTuple):
    """The script leaves because the rank was asked to end, not because it is through."""


class RankError(NamedTuple):
    """An exception ended the script. Every version of the protocol reads it, for it tells of the wrong version."""

    error: str
    traceback: str | None = None
    secondary: bool = False
    """Another rank's end is likely to be its cause."""
    out_of_memory: bool = False
    environment: bool = False
    """The software that the job runs with is its cause."""


class AsksToSave(NamedTuple):
    """The script asks `run.should_save`, so it saves when it is stopped."""


class CheckpointBegun(NamedTuple):
    """A save begins: an attempt from it repeats what is printed behind the log's first `log_bytes` bytes."""

    at: float
    log_bytes: int


class CheckpointSaved(NamedTuple):
    """The rank's part of a step is on the disk, whole. `replica`: it needs rank 0's, which has the state."""

    step: int
    at: float
    kind: PartKind
    replica: bool


class CheckpointNotSaved(NamedTuple):
    """The rank could not write its part."""

    step: int
    rank: int
    error: str


class LinksLeftOut(NamedTuple):
    """Links that are not in a saved folder, for they lead out of it; the first ones by name, and how many."""

    step: int
    names: list[str]
    count: int  # type: ignore[assignment] # tuples have a method of that name


class CheckpointRestored(NamedTuple):
    """The ranks have loaded the checkpoint that the attempt was given."""

    step: int


FactRecord = (
    StageReached | ResultStored | RankFinished | AsksToSave | CheckpointNotSaved | LinksLeftOut | CheckpointRestored
)
"""What the worker reports as a fact of the same name."""
Record = FactRecord | Metrics | RankInterrupted | RankError | CheckpointBegun | CheckpointSaved
_KINDS: Mapping[str, type[Record]] = MappingProxyType(
    {
        "stage_reached": StageReached,
        "result_stored": ResultStored,
        "rank_finished": RankFinished,
        "rank_interrupted": RankInterrupted,
        "rank_error": RankError,
        "asks_to_save": AsksToSave,
        "checkpoint_begun": CheckpointBegun,
        "checkpoint_saved": CheckpointSaved,
        "checkpoint_not_saved": CheckpointNotSaved,
        "links_left_out": LinksLeftOut,
        "checkpoint_restored": CheckpointRestored,
    }
)
_NAMES: Mapping[type[Record], str] = MappingProxyType({kind: name for name, kind in _KINDS.items()})
_METRICS = frozenset(Metrics._fields)


def metrics_values(step: int, at: float, values: dict[str, float]) -> dict[str, Any]:
    """Metrics for JSON. They are written in every step, so they have no `type`, and are no object before."""
    return {"step": step, "at": at, "values": values}


def record_values(record: Record) -> dict[str, Any]:
    """The record for JSON."""
    return (
        metrics_values(*record) if isinstance(record, Metrics) else {"type": _NAMES[type(record)], **record._asdict()}
    )


def parse_record(values: dict[str, Any]) -> Record:
    """The record of what JSON gave; the values in it are not checked.

    Raises Corrupt that names a kind that is not known, or the fields that are missing or not known.
    """
    if values.keys() == _METRICS:
        return Metrics(values["step"], values["at"], values["values"])
    name = values.get("type", "metrics" if "values" in values else None)
    kind = Metrics if name == "metrics" else _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise Corrupt(f"a rank has no records of type {str(name)[:40]!r}")
    fields = {field: value for field, value in values.items() if field != "type"}
    check_fields(fields, f"a record of type {name}", kind._fields, kind._field_defaults)
    return kind(**fields)
