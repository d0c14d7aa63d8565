"""Run records: a rank writes them for its worker, a JSON object per line of its run file.

A file may outlive a worker, and the next worker may be newer. So fields keep their names, and new ones have defaults.
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
    """The training reached a stage, such as `first_step`. `total_steps`: the number of steps, if known."""

    stage: str
    at: float
    total_steps: int | None = None


class ResultStored(NamedTuple):
    """The job's result. Only rank 0's counts."""

    result: dict[str, Any]


class RankFinished(NamedTuple):
    """The rank's work is done. Later problems of its process are only warnings."""

    rank: int


class RankInterrupted(NamedTuple):
    """The script exits because the rank was asked to end, not because it is done."""


class RankError(NamedTuple):
    """An exception ended the script. Every protocol version can read it, since it reports version mismatches."""

    error: str
    traceback: str | None = None
    secondary: bool = False
    """The end of another rank is probably the cause."""
    out_of_memory: bool = False
    environment: bool = False
    """The job's software environment is the cause."""


class AsksToSave(NamedTuple):
    """The script calls `run.should_save`, so it saves when it is asked to stop."""


class CheckpointBegun(NamedTuple):
    """A save starts. An attempt from this checkpoint repeats the output after the log's first `log_bytes` bytes."""

    at: float
    log_bytes: int


class CheckpointSaved(NamedTuple):
    """The rank's part of a step is completely on the disk. `replica`: the state is only in rank 0's part."""

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
    """Links that were left out of a saved folder because they lead out of it: the first names, and how many."""

    step: int
    names: list[str]
    count: int  # type: ignore[assignment] # tuples have a method of that name


class CheckpointRestored(NamedTuple):
    """The ranks have loaded the checkpoint that the attempt starts from."""

    step: int


FactRecord = (
    StageReached | ResultStored | RankFinished | AsksToSave | CheckpointNotSaved | LinksLeftOut | CheckpointRestored
)
"""Records that the worker reports as a fact of the same name."""
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
    """Metrics for JSON. They are written in every step, so they skip the `Metrics` object and have no `type`."""
    return {"step": step, "at": at, "values": values}


def record_values(record: Record) -> dict[str, Any]:
    """The record for JSON."""
    return (
        metrics_values(*record) if isinstance(record, Metrics) else {"type": _NAMES[type(record)], **record._asdict()}
    )


def parse_record(values: dict[str, Any]) -> Record:
    """The record from a parsed JSON object. Its values are not checked.

    Raises Corrupt, which names the unknown kind, or the missing or unknown fields.
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
