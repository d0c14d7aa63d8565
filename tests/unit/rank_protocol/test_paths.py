"""Names of files, and the description beside a checkpoint that ranks restore from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headway.errors import Corrupt
from headway.rank_protocol.checkpoint_parts import PartKind
from headway.rank_protocol.paths import log_file, logged_ranks
from headway.rank_protocol.restored_checkpoint import RestoredCheckpoint, read_restored, write_restored


def test_the_ranks_that_have_a_log_are_found_by_its_name(tmp_path: Path) -> None:
    """Given logs of ranks and of the preparation, and a script's file, then only the ranks are found, in order."""
    for rank in (-1, 10, 2):
        log_file(tmp_path, rank).touch()
    (tmp_path / "rank-x.log").touch()
    assert logged_ranks(tmp_path) == [2, 10]


@pytest.mark.parametrize("kind", PartKind)
def test_the_description_of_a_checkpoint_comes_back(tmp_path: Path, kind: PartKind) -> None:
    assert read_restored(tmp_path) is None
    checkpoint = RestoredCheckpoint(step=20, world_size=4, kind=kind)
    write_restored(tmp_path, checkpoint)
    assert read_restored(tmp_path) == checkpoint
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.json"]


def test_a_description_of_another_headway_is_refused_by_its_fields(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.json").write_text(json.dumps({"step": 20, "ranks": 4, "kind": "state"}))
    with pytest.raises(Corrupt, match=r"checkpoint\.json lacks the field world_size and has the field ranks"):
        read_restored(tmp_path)
