"""The formats in which ranks write their parts of a checkpoint."""

from __future__ import annotations

from enum import StrEnum

CHECKPOINT_FORMAT = 2
"""The format of a part. Parts of a newer format cannot be read. Format 1 contained only the state."""


class PartKind(StrEnum):
    """STATE: a file per rank. SHARDS: an archive per rank; a rank may need all. FILES: one archive for all."""

    STATE = "state"
    SHARDS = "shards"
    FILES = "files"
