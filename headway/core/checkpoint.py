"""A checkpoint: the state of all ranks at one step. It exists once it is in the job; its parts are rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from headway.core.checkpoint_name import checkpoint_name
from headway.core.frozen import Frozen, MetricValue, Text
from headway.rank_protocol.checkpoint_parts import PartKind

DEFAULT_EVERY_SECONDS = 60.0
MAXIMUM_CHECKPOINT_METRICS = 50


class CheckpointPolicy(Frozen):
    """When the built-in trainers, and scripts that ask `run.should_save`, save; and what is kept of it."""

    every_steps: int | None = Field(default=None, ge=1, description="Save each so many steps.")
    every_seconds: float | None = Field(
        default=DEFAULT_EVERY_SECONDS, gt=0, description="Save at the first step after so long; null: never."
    )
    epoch_end: bool = Field(default=True, description="Save at the end of each epoch.")
    keep_newest: int = Field(default=3, ge=1, le=1000, description="How many of the newest are kept.")
    keep_best: int = Field(default=0, ge=0, le=1000, description="How many of the best by `metric` are kept beside.")
    metric: Text | None = Field(default=None, max_length=200, description="Such as validation/loss.")
    mode: Literal["min", "max"] = Field(default="min", description="Whether the least or the greatest is best.")

    @model_validator(mode="after")
    def _best_by_a_metric(self) -> Self:
        if self.keep_best and self.metric is None:
            raise ValueError("keep_best needs a metric to tell which are best, for example validation/loss")
        return self


class CheckpointPart(Frozen):
    """What one rank saved; `object_id` addresses its bytes, `sha256` is their hash in hexadecimal.

    `replica`: beside what is the rank's own it has rank 0's state, which is only in rank 0's part.
    """

    attempt: int = Field(ge=1)
    step: int = Field(ge=0)
    rank: int = Field(ge=0)
    object_id: str
    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    kind: PartKind = PartKind.STATE
    replica: bool = False
    format: int = 1


class Checkpoint(Frozen):
    """A complete one: every part of a step of an attempt is stored. Times are seconds since the epoch."""

    attempt: int
    """The attempt that saved it."""
    step: int
    """The step after which it was saved."""
    world_size: int
    """How many ranks saved a part."""
    at: float
    """When it was committed, by the server's clock."""
    kind: PartKind = PartKind.STATE
    """What its parts are."""
    size_bytes: int = 0
    """All parts together."""
    saved_at: float | None = None
    """When rank 0 began to save, by its worker's clock."""
    counted: bool = False
    """Neither the names of its files nor the log told a step, so `step` counts what was saved."""
    metrics: dict[str, MetricValue] = {}
    """What rank 0 had logged last."""
    users: dict[str, float] = {}
    """The jobs that started from it and still need it, with the time since when."""
    job: str | None = None
    """The job whose parts they are, if it is another than the one that has this checkpoint."""

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from the others of its job."""
        return self.attempt, self.step

    @property
    def words(self) -> str:
        """What sentences call it."""
        return checkpoint_name(self.step, counted=self.counted)

    def part_of(self, rank: int) -> int:
        """Which part a rank starts from; with another number of ranks the parts are dealt out in turn."""
        return 0 if self.kind is PartKind.FILES else rank % self.world_size

    def needed_parts(self, ranks: Iterable[int]) -> set[int]:
        """The parts that a worker with these ranks needs. Rank 0's has what replicas share."""
        if self.kind is PartKind.SHARDS:
            return set(range(self.world_size))
        return {0, *map(self.part_of, ranks)}


class Saving(Frozen):
    """A checkpoint of which the parts of some ranks are stored, since `at`, and others' may still come."""

    at: float = 0.0
    ranks: tuple[int, ...] = ()
    size_bytes: int = 0
    saved_at: float | None = None
    metrics: dict[str, MetricValue] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_ranks(cls, value: Any) -> Any:
        """Documents of version 0.1 have the ranks only."""
        return {"ranks": value} if isinstance(value, list | tuple) else value
