"""Run records, as a rank writes them and its worker reads them."""

from __future__ import annotations

import json

import pytest

from headway.errors import Corrupt
from headway.rank_protocol.checkpoint_parts import PartKind
from headway.rank_protocol.run_records import (
    AsksToSave,
    CheckpointBegun,
    CheckpointNotSaved,
    CheckpointRestored,
    CheckpointSaved,
    LinksLeftOut,
    Metrics,
    RankError,
    RankFinished,
    RankInterrupted,
    Record,
    ResultStored,
    StageReached,
    parse_record,
    record_values,
)

RECORDS = [
    Metrics(3, 1.5, {"train/loss": 0.5}),
    StageReached("first_step", 1.5),
    ResultStored({"accuracy": 0.98, "type": "classifier"}),
    RankFinished(2),
    RankInterrupted(),
    RankError("ValueError: no", "Traceback", secondary=True),
    AsksToSave(),
    CheckpointBegun(1.5, 4_096),
    CheckpointSaved(20, 1.5, PartKind.SHARDS, replica=False),
    CheckpointNotSaved(20, 1, "No space left on device"),
    LinksLeftOut(20, ["latest"], 1),
    CheckpointRestored(20),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_as_it_was_written(record: Record) -> None:
    found = parse_record(json.loads(json.dumps(record_values(record))))
    assert found == record
    assert type(found) is type(record)


def test_every_kind_of_record_is_tried() -> None:
    assert {type(record) for record in RECORDS} == {*Record.__args__}


def test_a_record_of_an_earlier_headway_is_read() -> None:
    """Given a record without a newer field, then the field has its default."""
    assert parse_record({"type": "rank_error", "error": "ValueError: no"}) == RankError("ValueError: no")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"type": "rank_finished"}, "a record of type rank_finished lacks the field rank"),
        ({"type": "asks_to_save", "now": 1}, "a record of type asks_to_save has the field now, which this Headway"),
        ({"step": 1, "values": {}}, "a record of type metrics lacks the field at"),
        ({"type": "stage_reached", "stage": "x", "ats": 1}, "lacks the field at and has the field ats"),
        ({"type": "released"}, "a rank has no records of type 'released'"),
        ({"type": {"a": 1}}, "a rank has no records of type"),
        ({}, "a rank has no records of type 'None'"),
    ],
)
def test_an_invalid_record_is_refused_by_name(values: dict[str, object], problem: str) -> None:
    with pytest.raises(Corrupt, match=problem):
        parse_record(values)
