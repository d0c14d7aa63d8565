"""Who may do what. `require` is the one function that decides; everything that users, workers and ranks do asks it.

Every request has a caller. Its route names the action, and `admit` refuses at once a kind of caller that is never
allowed that action. The service then loads the object and asks `require`. What the caller may not see answers as
something that does not exist does; what it may see but not do is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from headway.core.actor import Actor, ActorKind
from headway.errors import NotAllowed, NotFound


class CallerKind(StrEnum):
    """`user`: a person or program. `join`: a machine that may register. `worker`: a registered one. `rank`: a rank."""

    USER = "user"
    JOIN = "join"
    WORKER = "worker"
    RANK = "rank"


@dataclass(frozen=True)
class Caller:
    """Who asks: the kind, and the worker, or job and attempt, that the token is bound to.

    `credential` is the token's id. It is empty for a token that was made before tokens had ids.
    """

    kind: CallerKind
    worker: str | None = None
    job: str | None = None
    attempt: int | None = None
    credential: str = ""


class Action(StrEnum):
    """What can be asked for; every route names one."""

    JOBS_READ = "jobs.read"
    JOBS_WRITE = "jobs.write"
    CHECKPOINTS_READ = "checkpoints.read"
    ARTIFACTS_WRITE = "artifacts.write"
    FLEET_READ = "fleet.read"
    FLEET_WRITE = "fleet.write"
    WORKER_REGISTER = "worker.register"
    WORKER_ACT = "worker.act"
    DATASETS_READ = "datasets.read"
    BLOCKS_READ = "blocks.read"
    DATASETS_WRITE = "datasets.write"
    SNAPSHOTS_READ = "snapshots.read"
    SNAPSHOTS_WRITE = "snapshots.write"
    DAMAGE_READ = "damage.read"
    DAMAGE_WRITE = "damage.write"
    SESSIONS_WRITE = "sessions.write"
    TOKENS_READ = "tokens.read"


_KINDS: dict[Action, frozenset[CallerKind]] = {
    Action.JOBS_READ: frozenset({CallerKind.USER}),
    Action.JOBS_WRITE: frozenset({CallerKind.USER}),
    Action.CHECKPOINTS_READ: frozenset({CallerKind.USER, CallerKind.RANK}),
    Action.ARTIFACTS_WRITE: frozenset({CallerKind.RANK}),
    Action.FLEET_READ: frozenset({CallerKind.USER}),
    Action.FLEET_WRITE: frozenset({CallerKind.USER}),
    Action.WORKER_REGISTER: frozenset({CallerKind.JOIN}),
    Action.WORKER_ACT: frozenset({CallerKind.WORKER}),
    Action.DATASETS_READ: frozenset({CallerKind.USER}),
    Action.BLOCKS_READ: frozenset({CallerKind.USER, CallerKind.WORKER}),
    Action.DATASETS_WRITE: frozenset({CallerKind.USER}),
    Action.SNAPSHOTS_READ: frozenset({CallerKind.USER, CallerKind.WORKER}),
    Action.SNAPSHOTS_WRITE: frozenset({CallerKind.USER}),
    Action.DAMAGE_READ: frozenset({CallerKind.USER}),
    Action.DAMAGE_WRITE: frozenset({CallerKind.USER}),
    Action.SESSIONS_WRITE: frozenset({CallerKind.USER}),
    Action.TOKENS_READ: frozenset({CallerKind.USER}),
}
"""The kinds of callers that an action can be allowed to."""


@dataclass(frozen=True)
class InstallationSubject:
    """What belongs to no project: the fleet as a whole, damaged rows, browser sessions."""


@dataclass(frozen=True)
class ProjectSubject:
    """A project: for lists of what it has, and for adding to it."""

    name: str


@dataclass(frozen=True)
class JobSubject:
    """A job."""

    id: str
    project: str


@dataclass(frozen=True)
class AttemptSubject:
    """An attempt of a job: what its ranks store and read."""

    job: str
    project: str
    number: int


@dataclass(frozen=True)
class WorkerSubject:
    """A worker, by its id."""

    id: str


@dataclass(frozen=True)
class DatasetSubject:
    """A dataset, with its blocks. `project`: None if all share it. `needed_by`: a worker that claimed a job on it."""

    name: str
    project: str | None
    needed_by: str | None = None


@dataclass(frozen=True)
class SnapshotSubject:
    """A snapshot of a project. `needed_by`: a worker that claimed a job of it."""

    sha256: str
    project: str
    needed_by: str | None = None


Subject = (
    InstallationSubject
    | ProjectSubject
    | JobSubject
    | AttemptSubject
    | WorkerSubject
    | DatasetSubject
    | SnapshotSubject
)
"""What an action is done to."""

_decided: ContextVar[set[Action] | None] = ContextVar("decided", default=None)


@contextmanager
def decisions() -> Iterator[set[Action]]:
    """The actions that `require` allows inside, so that an answer that no decision stands behind is noticed."""
    decided: set[Action] = set()
    token = _decided.set(decided)
    try:
        yield decided
    finally:
        _decided.reset(token)


def actor_of(caller: Caller) -> Actor:
    """The caller as what it causes names it. A machine that joins, and a rank, act as workers."""
    kind = ActorKind.USER if caller.kind is CallerKind.USER else ActorKind.WORKER
    return Actor(kind=kind, credential=caller.credential, worker=caller.worker)


def admit(caller: Caller, action: Action) -> None:
    """Refuse what is never allowed to this kind of caller, before anything is looked up. Raises NotAllowed."""
    if caller.kind not in _KINDS[action]:
        raise NotAllowed(f"A {caller.kind} token does not allow {action}.")


def require(caller: Caller, action: Action, subject: Subject, absent: NotFound) -> None:
    """Let the caller do `action` to the loaded object.

    Raises `absent`, which is the error for an object that does not exist, if the caller may not see this one; raises
    NotAllowed if it may see it, but not do this.
    """
    if not _sees(caller, subject):
        raise absent
    admit(caller, action)
    decided = _decided.get()
    if decided is not None:
        decided.add(action)


def require_in_project(caller: Caller, action: Action, project: str) -> None:
    """`require` for what a project has as a whole. Raises NotFound, NotAllowed."""
    require(caller, action, ProjectSubject(project), NotFound(f"Project {project} does not exist."))


def require_in_installation(caller: Caller, action: Action) -> None:
    """`require` for what belongs to no project. Raises NotAllowed."""
    require(caller, action, InstallationSubject(), NotFound("There is no such thing here."))


def require_as_worker(caller: Caller, worker_id: str) -> None:
    """Let a worker act as itself. Raises NotFound, NotAllowed."""
    require(caller, Action.WORKER_ACT, WorkerSubject(worker_id), NotFound(f"Worker {worker_id} does not exist."))


def _sees(caller: Caller, subject: Subject) -> bool:
    """Whether the caller may know of the object. Every user belongs to every project."""
    if caller.kind is CallerKind.USER:
        return True
    match subject:
        case InstallationSubject() | ProjectSubject():
            return True  # each kind knows that they exist; none of them names one
        case JobSubject(id=job):
            return caller.kind is CallerKind.RANK and job == caller.job
        case AttemptSubject(job=job, number=number):
            return caller.kind is CallerKind.RANK and (job, number) == (caller.job, caller.attempt)
        case WorkerSubject(id=worker):
            return caller.kind is CallerKind.WORKER and worker == caller.worker
        case DatasetSubject(needed_by=worker) | SnapshotSubject(needed_by=worker):
            return caller.kind is CallerKind.WORKER and worker == caller.worker
