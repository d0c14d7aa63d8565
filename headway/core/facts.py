"""Facts: reports of a worker about an attempt that can change the job. Streams (logs, metrics) are not facts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter

from headway.core.artifact import Artifact
from headway.core.checkpoint import MAXIMUM_CHECKPOINT_METRICS
from headway.core.frozen import Frozen, MetricValue
from headway.core.json_value import as_json, check_result
from headway.core.left_files import MAXIMUM_NAMED, FileList
from headway.core.worker import WorkerLoad
from headway.rank_protocol.checkpoint_parts import PartKind


class RankStarted(Frozen):
    """The rank's process exists."""

    type: Literal["rank_started"] = "rank_started"
    rank: int
    pid: int


class StageReached(Frozen):
    """Rank 0 reached a stage: `launched`, `data_ready`, `first_step`, `trained`, `evaluated` or `stored`."""

    type: Literal["stage_reached"] = "stage_reached"
    stage: str = Field(max_length=40)
    at: float
    total_steps: int | None = None


class ArtifactStored(Frozen):
    """A file of the attempt is in the object store, whole."""

    type: Literal["artifact_stored"] = "artifact_stored"
    artifact: Artifact


class CheckpointPartStored(Frozen):
    """A rank's part of a checkpoint is in the object store. Rank 0's comes with its newest metrics.

    `counted`: the step of these files is not known, so `step` is a count of saves.
    """

    type: Literal["checkpoint_part_stored"] = "checkpoint_part_stored"
    step: int
    rank: int
    kind: PartKind = PartKind.STATE
    size_bytes: int = 0
    saved_at: float | None = None
    counted: bool = False
    metrics: dict[str, MetricValue] = Field(default={}, max_length=MAXIMUM_CHECKPOINT_METRICS)


class CheckpointNotSaved(Frozen):
    """A rank could not write its part, or it could not be stored. Training continues."""

    type: Literal["checkpoint_not_saved"] = "checkpoint_not_saved"
    step: int
    rank: int
    error: str = Field(max_length=1_000)


class LinksLeftOut(Frozen):
    """Links that were left out of a step's checkpoint: they lead out of the directory, or to no file."""

    type: Literal["links_left_out"] = "links_left_out"
    step: int
    names: tuple[Annotated[str, Field(max_length=1_000)], ...] = Field(max_length=MAXIMUM_NAMED)
    count: int = Field(ge=1)


class CheckpointRestored(Frozen):
    """The ranks have loaded the checkpoint that the attempt was given.

    Not `certain`: its files are available, but the worker's system cannot tell whether the ranks read them.
    """

    type: Literal["checkpoint_restored"] = "checkpoint_restored"
    step: int
    certain: bool = True


class CheckpointDamaged(Frozen):
    """A part of the attempt's starting checkpoint is missing or changed, so the checkpoint is unusable."""

    type: Literal["checkpoint_damaged"] = "checkpoint_damaged"
    attempt: int
    step: int
    job: str | None = None
    error: str = Field(max_length=4_000)


class ResultStored(Frozen):
    """The result: the figures of the evaluation. A script that records it has finished its work.

    `NaN`, `Infinity` and `-Infinity` are stored as text.
    """

    type: Literal["result_stored"] = "result_stored"
    result: Annotated[dict[str, Any], AfterValidator(check_result), AfterValidator(as_json)]


class AsksToSave(Frozen):
    """The script calls `run.should_save`, so it saves when it is stopped."""

    type: Literal["asks_to_save"] = "asks_to_save"


class RankFinished(Frozen):
    """The rank's script returned. Later errors of its process are only warnings."""

    type: Literal["rank_finished"] = "rank_finished"
    rank: int


class RankEnded(Frozen):
    """The rank's process has ended. `signal` is a name such as SIGKILL; `stopped`: Headway itself ended it.

    `left`: it exited with 0 after Headway had asked it to end, so it may not have finished its work.
    `environment`: the job's software is the cause, and `error` explains it. `step`: the last step logged on its
    worker. `hint`: what else happened there that may be the cause. `memory_curve`: the memory of a failed rank over
    time, as (seconds since the epoch, bytes), with its peak as the last point. `worker_load`: the load of its machine
    at the end.
    """

    type: Literal["rank_ended"] = "rank_ended"
    rank: int
    at: float
    exit_code: int | None = None
    signal: str | None = None
    finished: bool = False
    stopped: bool = False
    left: bool = False
    secondary: bool = False
    out_of_memory: bool = False
    environment: bool = False
    error: str | None = Field(default=None, max_length=4_000)
    hint: str | None = Field(default=None, max_length=1_000)
    memory_curve: tuple[tuple[float, int], ...] = Field(default=(), max_length=100)
    worker_load: WorkerLoad | None = None
    traceback: str | None = Field(default=None, max_length=40_000)
    log_tail: tuple[str, ...] = ()
    step: int | None = None


class Stalled(Frozen):
    """Training has stalled: no step for too long. `absent_ranks`: the ranks that the others wait for, if known."""

    type: Literal["stalled"] = "stalled"
    step: int
    silent_seconds: float
    absent_ranks: tuple[int, ...] = Field(default=(), max_length=10_000)


class RanksIdle(Frozen):
    """Ranks have logged no step, computed nothing and printed nothing for long. They are not stopped."""

    type: Literal["ranks_idle"] = "ranks_idle"
    idle_seconds: float = Field(ge=0)


class PrepareFailed(Frozen):
    """The worker could not fetch the data, build the environment or start the launcher.

    `environment`: the job's environment cannot be built. `input_unusable`: the job's input cannot be used, on any
    worker. `own_fault`: the worker cannot start any ranks.
    """

    type: Literal["prepare_failed"] = "prepare_failed"
    error: str = Field(max_length=4_000)
    environment: bool = False
    input_unusable: bool = False
    own_fault: bool = False


class WorkerFailed(Frozen):
    """The worker had an internal error in this attempt. It has ended the ranks and abandoned the attempt."""

    type: Literal["worker_failed"] = "worker_failed"
    error: str = Field(max_length=1_000)


class NeverMet(Frozen):
    """No rank of this worker connected to another rank, as far as the worker can observe."""

    type: Literal["never_met"] = "never_met"


class OutputsStored(Frozen):
    """All outputs of this worker's ranks are in the object store. `warning` names those that are not."""

    type: Literal["outputs_stored"] = "outputs_stored"
    warning: str | None = Field(default=None, max_length=1_000)


class WorkingDirectoryReady(Frozen):
    """The ranks' working directory is ready. `fresh`: as it was sent; else as the job's last attempt here left it.

    `changed_count`: the number of files that are new or changed since it was sent.
    """

    type: Literal["working_directory_ready"] = "working_directory_ready"
    fresh: bool
    changed_count: int = Field(default=0, ge=0)


class LeftFilesRead(Frozen):
    """The ranks read files that an earlier attempt left in the working directory, so they probably continue from there.

    `modified_at`: when the newest of these files was written.
    """

    type: Literal["left_files_read"] = "left_files_read"
    modified_at: float = Field(ge=0)


class FilesLeft(Frozen):
    """The files that the ranks left on this worker; see LeftFiles. `outputs`: files of the output directory that were
    not stored."""

    type: Literal["files_left"] = "files_left"
    folder: str = Field(max_length=4_000)
    changed: FileList
    unstored: FileList
    outputs: FileList = FileList()
    kept_seconds: float = Field(ge=0)


class WorkerStopping(Frozen):
    """The worker is being shut down and ends its ranks."""

    type: Literal["worker_stopping"] = "worker_stopping"


class Released(Frozen):
    """All ranks of the assignment have ended and no report follows. Its slots are free."""

    type: Literal["released"] = "released"


Fact = Annotated[
    RankStarted
    | StageReached
    | ArtifactStored
    | ResultStored
    | CheckpointPartStored
    | CheckpointNotSaved
    | LinksLeftOut
    | CheckpointRestored
    | CheckpointDamaged
    | AsksToSave
    | RankFinished
    | RankEnded
    | Stalled
    | RanksIdle
    | PrepareFailed
    | WorkerFailed
    | NeverMet
    | OutputsStored
    | WorkingDirectoryReady
    | LeftFilesRead
    | FilesLeft
    | WorkerStopping
    | Released,
    Field(discriminator="type"),
]
FACTS: TypeAdapter[tuple[Fact, ...]] = TypeAdapter(tuple[Fact, ...], config=ConfigDict(ser_json_inf_nan="strings"))
