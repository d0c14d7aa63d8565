"""Describes the checkpoint in the folder that ranks restore from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from headway.rank_protocol.checkpoint_parts import PartKind
from headway.rank_protocol.fields import check_fields

_FILE = "checkpoint.json"


class RestoredCheckpoint(NamedTuple):
    """`world_size`: how many ranks saved it. Each saved a part of the kind `kind`."""

    step: int
    world_size: int
    kind: PartKind


def write_restored(folder: Path, checkpoint: RestoredCheckpoint) -> None:
    """Write the description once all parts are in the folder. It is written atomically, even by several processes."""
    temporary = folder / f"checkpoint.{os.getpid()}"
    temporary.write_text(json.dumps(checkpoint._asdict()))
    temporary.rename(folder / _FILE)


def read_restored(folder: Path) -> RestoredCheckpoint | None:
    """The checkpoint in the folder; None if there is none. Raises Corrupt if another version of Headway wrote it."""
    path = folder / _FILE
    if not path.exists():
        return None
    values = json.loads(path.read_text())
    check_fields(values, str(path), RestoredCheckpoint._fields)
    return RestoredCheckpoint(values["step"], values["world_size"], PartKind(values["kind"]))
