"""How ranks write their parts of a checkpoint."""

from __future__ import annotations

from enum import StrEnum

CHECKPOINT_FORMAT = 2
"""Of a part; one of a newer format cannot be read here. In format 1 it was the state alone."""


class PartKind(StrEnum):
    """STATE: a file per rank. SHARDS: an archive per rank, of which each may need each. FILES: one archive for all."""

    STATE = "state"
    SHARDS = "shards"
    FILES = "files"
