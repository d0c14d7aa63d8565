"""What workers and the server say to each other over HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from headway.core.checkpoint import Checkpoint, CheckpointPart
from headway.core.dataset import Dataset
from headway.core.frozen import Frozen, Seconds
from headway.core.job import JobSpec
from headway.core.status import AssignmentState
from headway.core.worker import WorkerDescription, WorkerLoad

_LARGEST_PORT = 65_535


class Timeouts(Frozen):
    """What a worker and its server must agree on; the server sends it at registration."""

    lease_seconds: Seconds = Field(default=10.0, gt=0)
    """Silence after which a worker is lost. Long enough for an overloaded machine, short enough to restart soon."""
    heartbeat_seconds: Seconds = Field(default=2.5, gt=0)
    """Time between heartbeats: a quarter of the lease, so that a few may be lost."""
    maximum_log_bytes: int = Field(default=64 << 20, ge=1 << 10)
    """What is kept of each rank's output per attempt; what comes behind is dropped, and that is said."""
    memory_look_seconds: Seconds = Field(default=0.5, gt=0)
    """Time between looks at the memory of ranks that have a limit, where no cgroup can enforce it."""
    stop_grace_seconds: Seconds = Field(default=5.0, ge=0)
    """Time a rank has between SIGTERM and SIGKILL."""
    save_grace_seconds: Seconds = Field(default=20.0, ge=0)
    """The same where the job goes on from what the rank saves: it is paused, or its worker drained or shut down."""
    stall_minimum_seconds: Seconds = Field(default=300.0, gt=0)
    """No step for this long, and for ten times the longest step before it, ends an attempt as stalled."""
    startup_limit_seconds: Seconds = Field(default=1800.0, gt=0)
    """Time a built-in trainer has from its ranks' start to its first step. Scripts and commands that log no step, and
    neither compute nor print for so long, are warned of."""
    finish_limit_seconds: Seconds = Field(default=3600.0, gt=0)
    """Time a training has from its last step to its end, for evaluation and saving."""
    exit_limit_seconds: Seconds = Field(default=60.0, gt=0)
    """Time the processes of ranks have to end once all ranks have finished; then they are killed, with a warning."""
    resource_sample_seconds: Seconds = Field(default=10.0, gt=0)
    """Time between samples of what each rank uses."""
    orphan_timeout_seconds: Seconds = Field(default=300.0, gt=0)
    """How long ranks train on while no server can be reached. Must be shorter than settle_seconds."""


class Registration(Frozen):
    """A worker's start. `former_token` proves which worker ran on the same home before."""

    worker: WorkerDescription
    former_token: str | None = None


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
    """The reports of one worker about one attempt; `worker` may be a former id."""

    job: str
    attempt: int
    worker: str


class Heartbeat(Frozen):
    """`counter` grows by one each time; `last_answer` is the newest counter that was answered, -1 at first.

    `preparing` lists (job, attempt) that the worker prepares, or whose outputs it stores. `leaving`: it is being shut
    down, and wants no more assignments. `steps`: the newest logged step of each job that trains here, by id.
    """

    counter: int = Field(ge=0)
    last_answer: int = Field(ge=-1)
    preparing: tuple[tuple[str, int], ...] = Field(default=(), max_length=10_000)
    streams: tuple[AssignmentKey, ...] = Field(default=(), max_length=10_000)
    load: WorkerLoad | None = None
    leaving: bool = False
    steps: dict[str, int] = Field(default={}, max_length=10_000)


class OpenAssignment(Frozen):
    """An assignment that the worker is to have; `ready`: every worker of the gang has claimed its share.

    `finished`: every rank of the gang has said that it finished.
    `kill`: once it is stopping, its ranks get no grace time; `saves`: they get the longer one; `stacks`: what they do
    is to be written down before.
    """

    job: str
    attempt: int
    state: AssignmentState
    ready: bool
    finished: bool = False
    kill: bool = False
    saves: bool = False
    stacks: bool = False


class Inquiry(Frozen):
    """Something asked of running ranks: `exec` runs a command beside rank `rank`, `stacks` is about all ranks."""

    id: str
    job: str
    attempt: int
    kind: Literal["exec", "stacks"]
    rank: int
    command: tuple[str, ...] = ()
    timeout_seconds: float


class InquiryAnswer(Frozen):
    """What came of an inquiry. `exit_code` is the command's; `truncated`: there was more output than is sent."""

    exit_code: int | None = None
    output: str = ""
    truncated: bool = False
    error: str | None = Field(default=None, description="Why there is no answer.")


class CommittedStream(Frozen):
    """Up to which number reports are stored and applied; None: no more of them are accepted."""

    stream: AssignmentKey
    through: int | None
    unreadable: tuple[int, ...] = Field(default=(), exclude_if=lambda numbers: not numbers)
    """Reports above it that came and could not be read: sent again they would not be either. Older workers do not know
    the field, so it is there only if it says something."""


class HeartbeatAnswer(Frozen):
    """What the worker is to have, and how far its spool may be cut. What is not listed is to end."""

    counter: int
    assignments: tuple[OpenAssignment, ...] = ()
    committed: tuple[CommittedStream, ...] = ()
    inquiries: tuple[Inquiry, ...] = ()


class JobIds(Frozen):
    """Some jobs by id."""

    jobs: tuple[Annotated[str, Field(max_length=100)], ...] = Field(default=(), max_length=1_000)


class Claim(Frozen):
    """`endpoint`: `host:port` that the worker bound for the rendezvous store, used if it has rank 0."""

    endpoint: str = Field(max_length=300, pattern=r"^[A-Za-z0-9._%:\[\]-]+:[1-9][0-9]{0,4}$")

    @field_validator("endpoint")
    @classmethod
    def _check_port(cls, endpoint: str) -> str:
        port = int(endpoint.rpartition(":")[2])
        if port > _LARGEST_PORT:
            raise ValueError(f"there is no port {port}")
        return endpoint


class Claimed(Frozen):
    """Everything a worker needs to start its ranks. `endpoint` is given once every worker has claimed.

    `checkpoint` is what the ranks are to start from, with the parts that this worker may need, by saved rank.
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
