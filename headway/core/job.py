"""A job: its spec, state and result."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any, Self

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from headway.core.actor import Actor
from headway.core.allocation import FLEET, Allocation
from headway.core.artifact import Artifact
from headway.core.attempt import Attempt
from headway.core.checkpoint import Checkpoint, CheckpointPolicy
from headway.core.curve import Curve
from headway.core.end_reason import EndReason
from headway.core.environment import Environment, check_variable, variables_of_parameters
from headway.core.frozen import Frozen, Text
from headway.core.left_files import LeftFiles
from headway.core.name import Name, check_labels
from headway.core.pod import Pod
from headway.core.spec_names import renamed_fields
from headway.core.status import JobStatus
from headway.core.warning_kind import WarningKind

MAXIMUM_SOURCE_BYTES = 64 << 10
MAXIMUM_NOTES_CHARACTERS = 10_000
CHECKPOINT_REFERENCE_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}(@[0-9]{1,15})?$"
LARGEST_WORLD_SIZE = 10_000


def _check_parameter(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise ValueError("a parameter is text, a number, true or false")
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("a parameter must be finite: give a finite number, or text in quotes")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("text must not have a NUL character")
    return value


Parameter = Annotated[bool | int | float | str, BeforeValidator(_check_parameter)]
"""The types of a parameter. Text that looks like a number stays text."""


class JobSpec(Frozen):
    """What to run, and with which resources. Exactly one of `trainer`, `script`, `module` and `command` is given."""

    name: Name | None = Field(default=None, description="Unique in its project; generated if missing.")
    trainer: Text | None = Field(default=None, description="A built-in trainer: mlp, lstm or cnn.")
    dataset: Text | None = Field(
        default=None, description="A dataset: a trainer trains on it, other ranks get it as a directory."
    )
    script: Text | None = Field(
        default=None, max_length=1024, description="A Python script in the working directory, run as torchrun runs it."
    )
    module: Text | None = Field(
        default=None,
        max_length=1024,
        description="A Python module, such as package.train, run as `torchrun -m` runs it from the working directory.",
    )
    command: tuple[Text, ...] = Field(default=(), max_length=1000, description="Any other program, with its arguments.")
    arguments: tuple[Text, ...] = Field(default=(), max_length=1000, description="Arguments of the script or module.")
    source: str | None = Field(
        default=None,
        max_length=MAXIMUM_SOURCE_BYTES,
        description="The script's text, for a script that needs no working directory.",
    )
    snapshot: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the uploaded working directory."
    )
    parameters: dict[str, Parameter] = Field(
        default_factory=dict,
        max_length=1000,
        description="Parameters of the trainer; for scripts and commands, variables such as BATCH_SIZE.",
    )
    env: dict[str, Text] = Field(
        default_factory=dict, max_length=1000, description="Environment variables of this job's ranks only."
    )
    environment: Environment = Field(default=Environment(), description="Software; default: the worker's own.")
    outputs: tuple[Text, ...] = Field(
        default=(),
        max_length=100,
        description="Globs in the working directory; matching files that are new or changed are kept as artifacts.",
    )
    metrics: dict[Text, Text] = Field(
        default_factory=dict,
        max_length=100,
        description="Regular expressions (RE2) for log lines, by metric name. Group `value`, or the first, is the "
        "value; group `step` is the step.",
    )
    checkpoints: CheckpointPolicy = Field(default=CheckpointPolicy(), description="When to save, and what to keep.")
    from_checkpoint: str | None = Field(
        default=None,
        pattern=CHECKPOINT_REFERENCE_PATTERN,
        description="JOB or JOB@STEP: start from this checkpoint of another job; without STEP, from the newest.",
    )
    world_size: int = Field(
        default=1, ge=1, le=LARGEST_WORLD_SIZE, description="How many ranks train one model together."
    )
    minimum_world_size: int | None = Field(
        default=None,
        ge=1,
        description="Start with at least this many ranks if slots are missing, also after a worker was lost. "
        "`world_size: {min: 2, max: 8}` means the same.",
    )
    engine: Name | None = Field(
        default=None, description="Where its workers come from: fleet, or another engine. Default: as the server says."
    )
    where: dict[str, str] = Field(
        default_factory=dict, max_length=64, description="Labels that each worker must have, such as gpu: a100."
    )
    pod: Pod | None = Field(default=None, description="Settings of the pods of a job with `engine: kubernetes`.")
    workers: int | None = Field(default=None, ge=1, description="Spread the ranks evenly over this many workers.")
    ranks_per_worker: int | None = Field(default=None, ge=1, description="Exact number of ranks on each worker.")
    priority: int = Field(default=0, ge=-1000, le=1000, description="Higher is placed first; equal priorities by age.")
    retries: int = Field(
        default=3,
        ge=0,
        le=100,
        description="How many infrastructure failures within `retry_window_seconds` are retried.",
    )
    retry_window_seconds: float = Field(
        default=86_400.0, gt=0, description="Older failures do not count: a long job may lose several machines."
    )
    timeout_seconds: float | None = Field(default=None, gt=0, description="Time limit from the first start to the end.")
    stall_seconds: float | None = Field(
        default=None,
        ge=0,
        description="End the attempt after this time without a step. Default: learned from its steps; 0: never.",
    )
    memory_bytes: int | None = Field(default=None, ge=1 << 20, description="Memory limit of each rank.")
    labels: dict[str, str] = Field(default_factory=dict, max_length=64, description="Labels to find the job by.")
    notes: str = Field(default="", max_length=MAXIMUM_NOTES_CHARACTERS, description="Free text for people.")

    @model_validator(mode="before")
    @classmethod
    def _fields_have_one_name(cls, value: Any) -> Any:
        return renamed_fields(value) if isinstance(value, dict) else value

    @model_validator(mode="before")
    @classmethod
    def _range_of_ranks(cls, value: Any) -> Any:
        size = value.get("world_size") if isinstance(value, dict) else None
        if not isinstance(size, dict):
            return value
        if set(size) != {"min", "max"}:
            raise ValueError("world_size is a number, or has min and max: {min: 2, max: 8}")
        return {**value, "world_size": size["max"], "minimum_world_size": size["min"]}

    @model_validator(mode="after")
    def _one_kind_of_work(self) -> Self:
        work = (self.trainer is not None, self.script is not None, self.module is not None, bool(self.command))
        if sum(work) != 1:
            raise ValueError("give one of trainer, script, module and command")
        if self.trainer is not None:
            self._check_trainer(self.trainer)
        else:
            self._check_own_work()
        check_labels(self.labels)
        check_labels(self.where)
        self._check_shape()
        return self

    def _check_shape(self) -> None:
        each, workers, least = self.ranks_per_worker, self.workers, self.minimum_world_size
        if least is not None and least > self.world_size:
            raise ValueError(f"minimum_world_size is {least}, more than world_size {self.world_size}")
        if least is not None and (each is not None or workers is not None):
            raise ValueError("minimum_world_size leaves the number of ranks open; workers and ranks_per_worker fix it")
        if each is not None and self.world_size % each:
            raise ValueError(f"ranks_per_worker is {each}, which does not divide world_size {self.world_size}")
        if workers is not None and workers > self.world_size:
            raise ValueError(f"workers is {workers}, more than the {self.world_size} ranks of world_size")
        if each is not None and workers is not None and each * workers != self.world_size:
            raise ValueError(f"{workers} workers with {each} ranks each are not the {self.world_size} of world_size")

    def _check_trainer(self, trainer: str) -> None:
        if self.dataset is None:
            raise ValueError(f"trainer {trainer} needs a dataset: add one, for example mnist")
        of_scripts = ("arguments", "source", "snapshot", "outputs", "metrics")
        given = [name for name in of_scripts if getattr(self, name)]
        if given or self.environment.foreign:
            raise ValueError(f"{(given or ['environment'])[0]} belongs to scripts; a trainer takes parameters")

    def _check_own_work(self) -> None:
        if self.script is not None:
            check_relative(self.script, "script")
            if (self.source is None) == (self.snapshot is None):
                raise ValueError("a script needs either its source or a snapshot of its working directory")
        elif self.source is not None:
            raise ValueError("source belongs to scripts")
        elif self.module is not None:
            check_module(self.module)
        elif self.arguments:
            raise ValueError("arguments belong to scripts and modules; a command has its arguments in itself")
        if self.environment.lock is not None:
            check_relative(self.environment.lock, "environment.lock")
            if self.snapshot is None:
                raise ValueError("environment.lock is a file of the working directory, so a snapshot of it is needed")
        for pattern in self.outputs:
            check_relative(pattern, "outputs")
        variables_of_parameters(self.parameters)
        for name in self.env:
            check_variable(name, f"variable {name}")

    @property
    def title(self) -> str:
        """What a generated name begins with."""
        if self.module is not None:
            return self.module.removesuffix(".__main__").rpartition(".")[2]
        program = (self.script or "".join(self.command[:1])).rpartition("/")[2]
        return self.trainer or program.partition(".")[0] or "job"

    @property
    def allocated(self) -> bool:
        """Whether its workers are made for it, in an allocation, and not taken from the fleet."""
        return self.engine not in (None, FLEET)


def check_relative(path: str, subject: str) -> None:
    """Raises ValueError unless `path` stays inside the directory that it is relative to."""
    parts = path.split("/")
    if not path or path.startswith("/") or "\\" in path or "\0" in path or ".." in parts or "" in parts[:-1]:
        raise ValueError(f"{subject} is {path!r}: give a path inside the working directory, without ..")


def check_module(name: str) -> None:
    """Raises ValueError unless `name` can be a module's full name, such as package.train."""
    if "" in name.split(".") or any(not character.isprintable() or character in "/\\ " for character in name):
        raise ValueError(f"module is {name!r}: give its full name with dots, such as package.train")


class Event(Frozen):
    """Something that happened, such as `job.started`, with its time; numbered from 1 within its job.

    `actor`: who caused it; None: the server, or the event is older than actors.
    """

    number: int
    type: str
    at: float
    data: dict[str, Any] = {}
    actor: Actor | None = None


class Origin(Frozen):
    """The checkpoint from which a job started: its job, attempt and step."""

    job: str
    name: str
    attempt: int
    step: int


class WakeUp(Frozen):
    """Tells a worker to look at its assignment of an attempt. It carries nothing else."""

    worker: str
    job: str
    attempt: int


class Job(Frozen):
    """The aggregate: everything that changes together, under one version.

    Times are seconds since the epoch.
    """

    id: str
    """Drawn by the server; it never changes."""
    project: str
    """The project that it belongs to."""
    name: str
    """Unique in its project."""
    idempotency_key: str
    """The same key with the same body answers with the same job."""
    body_hash: str
    """The hash of the body that it was submitted with."""
    spec: JobSpec
    """What the user asked for. It never changes."""
    created_at: float
    """When it was submitted."""
    submitted_by: Actor | None = None
    """Who submitted it; None for jobs older than actors."""
    sequence: int = 0
    """Its place in the order of submission; assigned by the database."""
    version: int = 1
    """Grows by one with each change. A writer names the version that it read (compare-and-set)."""
    status: JobStatus = JobStatus.QUEUED
    """Its status."""
    reason: EndReason | None = None
    """Why it ended, once it has."""
    sentence: str = ""
    """Its state, as a sentence for people."""
    attempt: Attempt | None = None
    """The newest attempt, also after it has ended."""
    retries_used: int = 0
    """How many counted failures were followed by another attempt."""
    failures_in_row: int = 0
    """Counted failures since the last checkpoint."""
    failed_at: tuple[float, ...] = ()
    """The times of the failures that still count."""
    failed_steps: tuple[int, ...] = ()
    """The steps of the last failures in a row at one step."""
    faulty_workers: tuple[str, ...] = ()
    """The names of the workers whose own faults ended the last attempts, one per attempt."""
    cancel_requested: bool = False
    """Whether a user cancelled it."""
    settling: tuple[int, ...] = Field(default=(), validation_alias=AliasChoices("settling", "draining"))
    """Ended attempts whose streams may still arrive."""
    events: tuple[Event, ...] = ()
    """Events that the relay has not delivered yet."""
    event_count: int = 0
    """The number of its last event."""
    wakeups: tuple[WakeUp, ...] = ()
    """Wake-ups that the relay has not delivered yet."""
    artifacts: tuple[Artifact, ...] = ()
    """The stored files."""
    artifacts_deleted: bool = False
    """Whether retention deleted its files."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """The complete checkpoints that are kept, oldest first."""
    origin: Origin | None = None
    """The checkpoint that it was forked from."""
    left_files: dict[str, LeftFiles] = {}
    """The files in its working directories, by the name of the worker."""
    allocation: Allocation | None = None
    """The machines that were made for it, or asked for, until they are given back."""
    allocation_count: int = 0
    """How many allocations it asked for. The number of the newest."""
    releasing: tuple[str, ...] = ()
    """The ids of allocations that are being given back, and may still have machines."""
    hold: bool = False
    """Whether it is paused, or about to be."""
    held_at: float | None = None
    """When it was paused, until it is resumed."""
    held_seconds: float = 0.0
    """How long it was paused before that, in total."""
    result: dict[str, Any] | None = None
    """The result that the script recorded, such as the evaluation's figures."""
    curve: Curve | None = None
    """The curve of its main metric, as of a moment ago while it trains."""
    warnings: tuple[str, ...] = ()
    """Warnings: what the user should know, although nothing failed."""
    warned: tuple[WarningKind, ...] = ()
    """The kinds of its warnings that are given only once."""
    labels: dict[str, str] = {}
    """Labels to find it by. They start as the spec's and may be changed."""
    notes: str = ""
    """Free text for people. It starts as the spec's and may be changed."""
    started_at: float | None = None
    """When all ranks of an attempt had started for the first time."""
    ran_seconds: float = 0.0
    """How long the ranks of its ended attempts ran, without the queue, the preparation and pauses."""
    ended_at: float | None = None
    """When it ended."""

    @property
    def attempt_number(self) -> int:
        """The number of the newest attempt; 0 before the first."""
        return self.attempt.number if self.attempt else 0

    def open_attempt(self, number: int) -> Attempt | None:
        """Attempt `number` if it is the newest and has not ended. Reports of any other attempt do not count."""
        if self.attempt is None or self.attempt.number != number or self.attempt.ended_at is not None:
            return None
        return self.attempt

    @property
    def active(self) -> bool:
        """Whether an attempt of the job holds slots or is being ended."""
        return not self.status.terminal and self.status is not JobStatus.QUEUED

    @property
    def unsettled(self) -> bool:
        """Whether a starting server loads the job: it is active, its streams settle, or something is undelivered."""
        undone = self.settling or self.events or self.wakeups or self.releasing
        return self.active or self.allocation is not None or bool(undone)

    @property
    def duration_seconds(self) -> float | None:
        """From submission to end, once it has ended."""
        return None if self.ended_at is None else max(0.0, self.ended_at - self.created_at)
