"""Kinds of warnings that a job gets only once."""

from __future__ import annotations

from enum import StrEnum


class WarningKind(StrEnum):
    """The subject of a warning. A second warning of the kind would tell the user nothing new."""

    RANKS_SAVE_APART = "ranks_save_apart"
    """Some ranks saved a step that others did not."""
    CHECKPOINT_NOT_SAVED = "checkpoint_not_saved"
    LINKS_LEFT_OUT = "links_left_out"
    CHECKPOINT_NOT_READ = "checkpoint_not_read"
    """No rank read its checkpoint files."""
    CHECKPOINT_NOT_LOADED = "checkpoint_not_loaded"
    """The script did not call `run.restore`."""
