"""A checkpoint: the state of all ranks at one step. It exists once the job names it. Each part is a database row."""

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
    """When built-in trainers, and scripts that call `run.should_save`, save; and which checkpoints are kept."""

    every_steps: int | None = Field(default=None, ge=1, description="Save every N steps.")
    every_seconds: float | None = Field(
        default=DEFAULT_EVERY_SECONDS, gt=0, description="Save at the first step after this many seconds; null: never."
    )
    epoch_end: bool = Field(default=True, description="Save at the end of each epoch.")
    keep_newest: int = Field(default=3, ge=1, le=1000, description="Keep this many of the newest.")
    keep_best: int = Field(default=0, ge=0, le=1000, description="Also keep this many of the best by `metric`.")
    metric: Text | None = Field(
        default=None, max_length=200, description="The metric for `keep_best`, such as validation/loss."
    )
    mode: Literal["min", "max"] = Field(
        default="min", description="Whether the smallest (min) or largest (max) value is best."
    )

    @model_validator(mode="after")
    def _best_by_a_metric(self) -> Self:
        if self.keep_best and self.metric is None:
            raise ValueError("keep_best needs a metric, for example validation/loss")
        return self


class CheckpointPart(Frozen):
    """What one rank saved. `object_id` addresses its bytes; `sha256` is their hash in hexadecimal.

    `replica`: the rank also needs the state in rank 0's part.
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
    """A complete checkpoint: all parts are stored. Times are seconds since the epoch."""

    attempt: int
    """The attempt that saved it."""
    step: int
    """The step after which it was saved."""
    world_size: int
    """How many ranks saved a part."""
    at: float
    """When it was committed, by the server's clock."""
    kind: PartKind = PartKind.STATE
    """The kind of its parts."""
    size_bytes: int = 0
    """The size of all parts together."""
    saved_at: float | None = None
    """When rank 0 began to save, by its worker's clock."""
    counted: bool = False
    """Whether `step` is a count of saves: neither file names nor the log told the step."""
    metrics: dict[str, MetricValue] = {}
    """The newest metrics of rank 0 at the save."""
    users: dict[str, float] = {}
    """The jobs that started from it and still need it, with the time at which they started."""
    job: str | None = None
    """The job that saved it, if it is another job."""

    @property
    def key(self) -> tuple[int, int]:
        """What identifies it within its job."""
        return self.attempt, self.step

    @property
    def words(self) -> str:
        """Its name in sentences."""
        return checkpoint_name(self.step, counted=self.counted)

    def part_of(self, rank: int) -> int:
        """Which part a rank starts from. If the number of ranks has changed, parts are assigned round-robin."""
        return 0 if self.kind is PartKind.FILES else rank % self.world_size

    def needed_parts(self, ranks: Iterable[int]) -> set[int]:
        """The parts that a worker with these ranks needs. Rank 0's part has the state that replicas share."""
        if self.kind is PartKind.SHARDS:
            return set(range(self.world_size))
        return {0, *map(self.part_of, ranks)}


class Saving(Frozen):
    """An incomplete checkpoint: the first part was stored at `at`, and others may still come."""

    at: float = 0.0
    ranks: tuple[int, ...] = ()
    size_bytes: int = 0
    saved_at: float | None = None
    metrics: dict[str, MetricValue] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_ranks(cls, value: Any) -> Any:
        """Version 0.1 stored the ranks only."""
        return {"ranks": value} if isinstance(value, list | tuple) else value
