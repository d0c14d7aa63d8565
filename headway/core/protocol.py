"""The messages between workers and the server over HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from headway.core.allocation import LARGEST_SEATS
from headway.core.checkpoint import Checkpoint, CheckpointPart
from headway.core.dataset import Dataset
from headway.core.frozen import Frozen, Seconds, Text
from headway.core.job import JobSpec
from headway.core.status import AssignmentState
from headway.core.worker import WorkerDescription, WorkerLoad

_LARGEST_PORT = 65_535


class Timeouts(Frozen):
    """Times that the worker must share with its server, which sends them at registration."""

    lease_seconds: Seconds = Field(default=10.0, gt=0)
    """A worker that is silent for this long is declared lost. Long enough for an overloaded machine."""
    heartbeat_seconds: Seconds = Field(default=2.5, gt=0)
    """Time between heartbeats: a quarter of the lease, so that a few may be lost."""
    maximum_log_bytes: int = Field(default=64 << 20, ge=1 << 10)
    """How much of each rank's output is kept per attempt. Later output is dropped, with a warning."""
    memory_look_seconds: Seconds = Field(default=0.5, gt=0)
    """Time between checks of the memory of ranks with a limit, if no cgroup can enforce it."""
    stop_grace_seconds: Seconds = Field(default=5.0, ge=0)
    """Time a rank has between SIGTERM and SIGKILL."""
    save_grace_seconds: Seconds = Field(default=20.0, ge=0)
    """Time between SIGTERM and SIGKILL if the rank should save: at a pause, a drain, or a shutdown of the worker."""
    stall_minimum_seconds: Seconds = Field(default=300.0, gt=0)
    """An attempt is stalled after this time without a step, and after at least ten times its longest step so far."""
    startup_limit_seconds: Seconds = Field(default=1800.0, gt=0)
    """Time a built-in trainer has from its ranks' start to its first step. Scripts and commands that log no step,
    compute nothing and print nothing for this long get a warning."""
    finish_limit_seconds: Seconds = Field(default=3600.0, gt=0)
    """Time a training has from its last step to its end, for evaluation and saving."""
    exit_limit_seconds: Seconds = Field(default=60.0, gt=0)
    """After all ranks have finished, their processes have this time to end. Then they are killed, with a warning."""
    resource_sample_seconds: Seconds = Field(default=10.0, gt=0)
    """Time between samples of each rank's resource use."""
    orphan_timeout_seconds: Seconds = Field(default=300.0, gt=0)
    """How long ranks keep training while no server can be reached. Must be shorter than settle_seconds."""


class SeatStart(Frozen):
    """Which seat of its allocation a worker takes, and which start of the seat it is.

    `call` is drawn for each registration, and the same when it is sent again: then it has the same answer.
    """

    number: int = Field(ge=0, lt=LARGEST_SEATS)
    start: Text = Field(min_length=1, max_length=100)
    call: Text = Field(min_length=1, max_length=100)


class Registration(Frozen):
    """Registers a worker at its start. `former_token` proves which worker ran on the same home before."""

    worker: WorkerDescription
    former_token: str | None = None
    seat: SeatStart | None = Field(default=None, description="For workers of an allocation.")


class Registered(Frozen):
    """The id and token that the worker has from now on."""

    id: str
    token: str
    name: str
    timeouts: Timeouts
    broker: str = Field(description="Path of the worker's own connection to the server, the embedded broker.")
    assignments: str | None = Field(default=None, description="URL of the broker of wake-ups, if not the embedded one.")
    reports: str | None = Field(default=None, description="URL of the broker of reports, if not the embedded one.")
    report_key: str = Field(default="", description="Signs the worker's reports on their way through that broker.")


class AssignmentKey(Frozen):
    """The stream of reports of one worker about one attempt; `worker` may be a former id."""

    job: str
    attempt: int
    worker: str


class Heartbeat(Frozen):
    """`counter` grows by one each time; `last_answer` is the newest answered counter, -1 at first.

    `preparing` lists each (job, attempt) that the worker prepares, or whose outputs it stores. `leaving`: the worker is
    being shut down and takes no more assignments. `steps`: the newest logged step of each job that trains here, by id.
    """

    counter: int = Field(ge=0)
    last_answer: int = Field(ge=-1)
    preparing: tuple[tuple[str, int], ...] = Field(default=(), max_length=10_000)
    streams: tuple[AssignmentKey, ...] = Field(default=(), max_length=10_000)
    load: WorkerLoad | None = None
    leaving: bool = False
    steps: dict[str, int] = Field(default={}, max_length=10_000)


class OpenAssignment(Frozen):
    """An assignment of the worker. `ready`: every worker of the gang has claimed its share.

    `finished`: every rank of the gang has reported that it finished. For a stopping assignment, `kill`: its ranks get
    no grace time; `saves`: they get the longer one; `stacks`: their stacks are written first.
    `watched`: a user follows the job, so its reports are sent several times a second.
    """

    job: str
    attempt: int
    state: AssignmentState
    ready: bool
    finished: bool = False
    kill: bool = False
    saves: bool = False
    stacks: bool = False
    watched: bool = Field(default=False, exclude_if=lambda watched: not watched)
    """Older workers do not know the field, so it is there only if somebody watches."""


class Inquiry(Frozen):
    """A question to running ranks: `exec` runs a command beside rank `rank`, `stacks` asks all ranks for stacks."""

    id: str
    job: str
    attempt: int
    kind: Literal["exec", "stacks"]
    rank: int
    command: tuple[str, ...] = ()
    timeout_seconds: float


class InquiryAnswer(Frozen):
    """The answer to an inquiry. `exit_code` is the command's; `truncated`: the output was cut."""

    exit_code: int | None = None
    output: str = ""
    truncated: bool = False
    error: str | None = Field(default=None, description="Why there is no answer.")


class CommittedStream(Frozen):
    """The number up to which reports are stored and applied; None: no more reports are accepted."""

    stream: AssignmentKey
    through: int | None
    unreadable: tuple[int, ...] = Field(default=(), exclude_if=lambda numbers: not numbers)
    """Later reports that arrived and could not be read. Sending them again does not help. Older workers do not know the
    field, so an empty list is left out."""


class HeartbeatAnswer(Frozen):
    """The worker's assignments, and how far its spool may be cut. The worker ends assignments that are not listed."""

    counter: int
    assignments: tuple[OpenAssignment, ...] = ()
    committed: tuple[CommittedStream, ...] = ()
    inquiries: tuple[Inquiry, ...] = ()
    released: bool = Field(default=False, exclude_if=lambda released: not released)
    """The worker's allocation was given back: it sends its last reports and ends."""


class JobIds(Frozen):
    """The ids of some jobs."""

    jobs: tuple[Annotated[str, Field(max_length=100)], ...] = Field(default=(), max_length=1_000)


class Claim(Frozen):
    """`endpoint`: `host:port` that the worker bound for the rendezvous store. It is used if the worker has rank 0."""

    endpoint: str = Field(max_length=300, pattern=r"^[A-Za-z0-9._%:\[\]-]+:[1-9][0-9]{0,4}$")

    @field_validator("endpoint")
    @classmethod
    def _check_port(cls, endpoint: str) -> str:
        port = int(endpoint.rpartition(":")[2])
        if port > _LARGEST_PORT:
            raise ValueError(f"there is no port {port}")
        return endpoint


class Claimed(Frozen):
    """Everything a worker needs to start its ranks. `endpoint` is set once every worker has claimed.

    `checkpoint`: the ranks start from it. Its parts, by saved rank, are those that this worker may need.
    """

    job: str
    job_name: str
    project: str
    attempt: int
    spec: JobSpec
    dataset: Dataset | None
    checkpoint: Checkpoint | None = None
    checkpoint_parts: dict[int, CheckpointPart] = {}
    first_rank: int
    rank_count: int
    world_size: int
    group_rank: int
    group_count: int
    endpoint: str | None
    rank_token: str

    @property
    def ranks(self) -> range:
        """The ranks that the worker runs."""
        return range(self.first_rank, self.first_rank + self.rank_count)
