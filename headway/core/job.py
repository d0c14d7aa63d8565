"""What a user asked for, and what became of it."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from headway.core.artifact import Artifact
from headway.core.attempt import Attempt
from headway.core.end_reason import EndReason
from headway.core.frozen import Frozen
from headway.core.status import JobStatus

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
MAXIMUM_SCRIPT_BYTES = 1 << 20
DEFAULT_PROJECT = "default"


class Script(Frozen):
    """A script file as it was sent."""

    filename: str = Field(pattern=r"^[^/\\\x00]{1,200}$", description="The file's own name, without directories.")
    source: str = Field(max_length=MAXIMUM_SCRIPT_BYTES, description="The file's text.")


class JobSpec(Frozen):
    """What to run and on how much. Exactly one of `trainer` and `script` is given."""

    name: str | None = Field(default=None, pattern=NAME_PATTERN, description="Unique in its project; made if missing.")
    trainer: str | None = Field(default=None, description="A built-in trainer: mlp, lstm or cnn.")
    dataset: str | None = Field(default=None, description="The dataset that the trainer learns.")
    parameters: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="Parameters of the trainer; what is left out has its default."
    )
    script: Script | None = Field(default=None, description="A Python script, run as torchrun would run it.")
    arguments: tuple[str, ...] = Field(default=(), description="Command line arguments of the script.")
    world_size: int = Field(default=1, ge=1, le=10_000, description="How many ranks train one model together.")
    priority: int = Field(default=0, ge=-1000, le=1000, description="Higher is placed first; equal by age.")
    retries: int = Field(default=3, ge=0, le=100, description="Attempts after one that infrastructure ended.")

    @model_validator(mode="after")
    def _one_kind_of_work(self) -> Self:
        if (self.trainer is None) == (self.script is None):
            raise ValueError("give either a trainer or a script")
        if self.trainer is not None and self.dataset is None:
            raise ValueError(f"trainer {self.trainer} needs a dataset: add one, for example mnist")
        if self.script is not None and (self.dataset is not None or self.parameters):
            raise ValueError("dataset and parameters belong to trainers; a script takes arguments")
        if self.trainer is not None and self.arguments:
            raise ValueError("arguments belong to scripts; a trainer takes parameters")
        return self

    @property
    def title(self) -> str:
        """What a generated name begins with."""
        return self.trainer or (self.script.filename.rsplit(".", 1)[0] if self.script else "job")


class Event(Frozen):
    """A dated fact in the past tense, such as `job.started`; numbered from 1 within its job."""

    number: int
    type: str
    at: float
    data: dict[str, Any] = {}


class WakeUp(Frozen):
    """Tells a worker to look at its assignment of an attempt; it names the row and carries nothing else."""

    worker: str
    job: str
    attempt: int


class Job(Frozen):
    """The aggregate: everything that changes together is in here, under one version.

    `events` and `wakeups` are those that the relay has not delivered yet. `draining` lists ended attempts whose
    streams may still arrive. `attempt` is the newest one, also after it ended. Times are seconds since the epoch.
    """

    id: str
    project: str = DEFAULT_PROJECT
    name: str
    idempotency_key: str
    body_hash: str
    spec: JobSpec
    created_at: float
    sequence: int = 0
    version: int = 1
    status: JobStatus = JobStatus.QUEUED
    reason: EndReason | None = None
    sentence: str = ""
    attempt: Attempt | None = None
    retries_used: int = 0
    cancel_requested: bool = False
    draining: tuple[int, ...] = ()
    events: tuple[Event, ...] = ()
    event_count: int = 0
    wakeups: tuple[WakeUp, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    result: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def attempt_number(self) -> int:
        """The number of the newest attempt; 0 before the first."""
        return self.attempt.number if self.attempt else 0

    @property
    def live(self) -> bool:
        """Whether an attempt of the job holds slots or is being ended."""
        return not self.status.terminal and self.status is not JobStatus.QUEUED

    @property
    def unsettled(self) -> bool:
        """Whether a starting server has to take the job up: it is live, drains, or has something undelivered."""
        return self.live or bool(self.draining or self.events or self.wakeups)
