"""Facts: what a worker tells about an attempt that can change the job. Streams (logs, metrics) are not facts."""

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
    """What a rank saved at a step is in the object store, whole. Rank 0's comes with the metrics it had logged last.

    `counted`: nothing told the step of these files, so it counts what was saved.
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
    """A rank could not write its part, or it could not be stored. Training goes on."""

    type: Literal["checkpoint_not_saved"] = "checkpoint_not_saved"
    step: int
    rank: int
    error: str = Field(max_length=1_000)


class LinksLeftOut(Frozen):
    """Links that are not in the checkpoint files of a step, for they lead out of the directory or to nothing."""

    type: Literal["links_left_out"] = "links_left_out"
    step: int
    names: tuple[Annotated[str, Field(max_length=1_000)], ...] = Field(max_length=MAXIMUM_NAMED)
    count: int = Field(ge=1)


class CheckpointRestored(Frozen):
    """The ranks have loaded the checkpoint that the attempt was given.

    Not `certain`: its files are where the ranks look for them, but the worker's system cannot tell whether they did.
    """

    type: Literal["checkpoint_restored"] = "checkpoint_restored"
    step: int
    certain: bool = True


class CheckpointDamaged(Frozen):
    """A part of the checkpoint that the attempt was to start from is missing or changed: it is not one any more."""

    type: Literal["checkpoint_damaged"] = "checkpoint_damaged"
    attempt: int
    step: int
    job: str | None = None
    error: str = Field(max_length=4_000)


class ResultStored(Frozen):
    """The result: the figures of the evaluation. With it the script says that its work is done.

    `NaN`, `Infinity` and `-Infinity` are text in it.
    """

    type: Literal["result_stored"] = "result_stored"
    result: Annotated[dict[str, Any], AfterValidator(check_result), AfterValidator(as_json)]


class AsksToSave(Frozen):
    """The script asks `run.should_save`, so it saves when it is stopped."""

    type: Literal["asks_to_save"] = "asks_to_save"


class RankFinished(Frozen):
    """The rank's script returned; whatever its process does after that is at most a warning."""

    type: Literal["rank_finished"] = "rank_finished"
    rank: int


class RankEnded(Frozen):
    """The rank's process is gone. `signal` is a name such as SIGKILL; `stopped`: Headway itself ended it.

    `left`: it exited with 0 after Headway had asked it to end, which says nothing of whether its work was done.
    `environment`: the software that the job runs with is why, and `error` says how. `step`: the last that was logged
    where it ran. `hint`: what else happened there that may be why. `memory_curve`: of
    one that failed, what it held over time, as (seconds since the epoch, bytes), with its peak as the last;
    `worker_load`: what was used of its machine then.
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
    """No step came for so long that none is expected any more. `absent_ranks`: those that others wait for, if known."""

    type: Literal["stalled"] = "stalled"
    step: int
    silent_seconds: float
    absent_ranks: tuple[int, ...] = Field(default=(), max_length=10_000)


class RanksIdle(Frozen):
    """Ranks that have logged no step have neither computed nor printed for long. They go on."""

    type: Literal["ranks_idle"] = "ranks_idle"
    idle_seconds: float = Field(ge=0)


class PrepareFailed(Frozen):
    """The worker could not fetch the data, build the environment or start the launcher.

    `environment`: the job's environment cannot be had, `input_unusable`: what the job was given cannot be used, which
    no other worker would change. `own_fault`: the worker could not start any ranks.
    """

    type: Literal["prepare_failed"] = "prepare_failed"
    error: str = Field(max_length=4_000)
    environment: bool = False
    input_unusable: bool = False
    own_fault: bool = False


class WorkerFailed(Frozen):
    """The worker met an error of its own in this attempt, has ended the ranks, and does no more for it."""

    type: Literal["worker_failed"] = "worker_failed"
    error: str = Field(max_length=1_000)


class NeverMet(Frozen):
    """No rank of this worker had a connection to another rank, as far as that can be seen from outside."""

    type: Literal["never_met"] = "never_met"


class OutputsStored(Frozen):
    """All that the ranks of this worker left is in the object store; `warning` says what is not."""

    type: Literal["outputs_stored"] = "outputs_stored"
    warning: str | None = Field(default=None, max_length=1_000)


class WorkingDirectoryReady(Frozen):
    """The ranks' working directory is there. `fresh`: as it was sent, else as the job's last attempt here left it.

    `changed_count`: files in it that are new or changed since it was sent.
    """

    type: Literal["working_directory_ready"] = "working_directory_ready"
    fresh: bool
    changed_count: int = Field(default=0, ge=0)


class LeftFilesRead(Frozen):
    """The ranks read what an earlier attempt left in the working directory; `modified_at`: when the newest was written.

    With that they continue from there, as far as it can be told.
    """

    type: Literal["left_files_read"] = "left_files_read"
    modified_at: float = Field(ge=0)


class FilesLeft(Frozen):
    """What the ranks left on this worker; see LeftFiles. `outputs`: of the output directory what was not stored."""

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
    """None of the assignment's ranks is left and no report follows: its slots are free."""

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
