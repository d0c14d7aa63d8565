"""A checkpoint: the state of all ranks at one step. It exists once it is in the job; its parts are rows."""

from __future__ import annotations

from pydantic import Field

from headway.core.frozen import Frozen

KEPT_CHECKPOINTS = 3
"""The newest ones that a job keeps: the last, and two before it in case that one is damaged."""


class CheckpointPart(Frozen):
    """What one rank saved; `object_id` addresses its bytes, `sha256` is their hash in hexadecimal."""

    attempt: int = Field(ge=1)
    step: int = Field(ge=0)
    rank: int = Field(ge=0)
    object_id: str
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Checkpoint(Frozen):
    """A complete one: every rank of `attempt` has stored its part of step `step`."""

    attempt: int
    step: int
    world_size: int
    at: float

    def part_of(self, rank: int) -> int:
        """Which part a rank starts from; with another number of ranks the parts are dealt out in turn."""
        return rank % self.world_size
