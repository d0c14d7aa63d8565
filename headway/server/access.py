"""Access control. `require` decides whether a caller may do something. Every action of a user, worker or rank calls it.

Every request has a caller, and its route names an action. `admit` refuses kinds of callers that are never allowed the
action. Then the service loads the object and calls `require`. If the caller may not see the object, the answer is the
same as for an object that does not exist. If it may see the object but not do the action, it is refused.
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
    """Who sends the request: its kind, and the worker, or the job and attempt, that its token is bound to.

    `credential` is the token's id. It is empty for a token that was made before tokens had ids.
    """

    kind: CallerKind
    worker: str | None = None
    job: str | None = None
    attempt: int | None = None
    credential: str = ""


class Action(StrEnum):
    """The actions. Every route names one."""

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
"""The kinds of callers that each action can be allowed to."""


@dataclass(frozen=True)
class InstallationSubject:
    """What belongs to no project: the fleet as a whole, damaged rows, browser sessions."""


@dataclass(frozen=True)
class ProjectSubject:
    """A project: to list its objects, or to add one."""

    name: str


@dataclass(frozen=True)
class JobSubject:
    """A job."""

    id: str
    project: str


@dataclass(frozen=True)
class AttemptSubject:
    """An attempt of a job, whose files its ranks store and read."""

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
"""The object that an action is done to."""

_decided: ContextVar[set[Action] | None] = ContextVar("decided", default=None)


@contextmanager
def decisions() -> Iterator[set[Action]]:
    """The actions that `require` allows in this context. An answer without one is a defect, which the route notices."""
    decided: set[Action] = set()
    token = _decided.set(decided)
    try:
        yield decided
    finally:
        _decided.reset(token)


def actor_of(caller: Caller) -> Actor:
    """The actor that is recorded for this caller. A joining machine or a rank acts as a worker."""
    kind = ActorKind.USER if caller.kind is CallerKind.USER else ActorKind.WORKER
    return Actor(kind=kind, credential=caller.credential, worker=caller.worker)


def allowed_kinds(action: Action) -> frozenset[CallerKind]:
    """The kinds of callers that the action can be allowed to."""
    return _KINDS[action]


def admit(caller: Caller, action: Action) -> None:
    """Refuse an action that this kind of caller is never allowed, before any lookup. Raises NotAllowed."""
    if caller.kind not in _KINDS[action]:
        raise NotAllowed(f"A {caller.kind} token does not allow {action}.")


def require(caller: Caller, action: Action, subject: Subject, absent: NotFound) -> None:
    """Check that the caller may do `action` to the loaded object.

    Raises `absent`, the error for an object that does not exist, if the caller may not see the object. Raises
    NotAllowed if it may see the object but not do the action.
    """
    if not _sees(caller, subject):
        raise absent
    admit(caller, action)
    decided = _decided.get()
    if decided is not None:
        decided.add(action)


def require_in_project(caller: Caller, action: Action, project: str) -> None:
    """`require` for a project as a whole. Raises NotFound, NotAllowed."""
    require(caller, action, ProjectSubject(project), NotFound(f"Project {project} does not exist."))


def require_in_installation(caller: Caller, action: Action) -> None:
    """`require` for what belongs to no project. Raises NotAllowed."""
    require(caller, action, InstallationSubject(), NotFound("This does not exist."))


def require_as_worker(caller: Caller, worker_id: str) -> None:
    """Check that the caller is this worker. Raises NotFound, NotAllowed."""
    require(caller, Action.WORKER_ACT, WorkerSubject(worker_id), NotFound(f"Worker {worker_id} does not exist."))


def _sees(caller: Caller, subject: Subject) -> bool:
    """Whether the caller may know that the object exists. Every user belongs to every project."""
    if caller.kind is CallerKind.USER:
        return True
    match subject:
        case InstallationSubject() | ProjectSubject():
            return True  # every caller knows that these exist
        case JobSubject(id=job):
            return caller.kind is CallerKind.RANK and job == caller.job
        case AttemptSubject(job=job, number=number):
            return caller.kind is CallerKind.RANK and (job, number) == (caller.job, caller.attempt)
        case WorkerSubject(id=worker):
            return caller.kind is CallerKind.WORKER and worker == caller.worker
        case DatasetSubject(needed_by=worker) | SnapshotSubject(needed_by=worker):
            return caller.kind is CallerKind.WORKER and worker == caller.worker
