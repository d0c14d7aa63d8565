"""Access control. `require` decides whether a caller may do something. Every action of a user, worker or rank calls it.

Every request has a caller, and its route names an action. `admit` refuses kinds of callers that are never allowed the
action. Then the service loads the object and calls `require`. If the caller may not see the object, the answer is the
same as for an object that does not exist. If it may see the object but not do the action, it is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

from headway.core.account import Rights, Role, Scope
from headway.core.actor import Actor, ActorKind
from headway.errors import NotAllowed, NotFound


class CallerKind(StrEnum):
    """`user`: a person or program. `join`: a machine that may register. `seat`: a machine of one allocation that may.
    `worker`: a registered one. `rank`: a rank."""

    USER = "user"
    JOIN = "join"
    SEAT = "seat"
    WORKER = "worker"
    RANK = "rank"


@dataclass(frozen=True)
class Caller:
    """Who sends the request: its kind, and the worker, the job and attempt, or the user, that its token is bound to.

    `credential` is the token's id. It is empty for a token that was made before tokens had ids. `user` is a user's
    `uid`; None for a token of the server's home, which may do everything. `rights` are looked up at each request.
    """

    kind: CallerKind
    worker: str | None = None
    job: str | None = None
    attempt: int | None = None
    credential: str = ""
    user: str | None = None
    allocation: str | None = None
    rights: Rights | None = field(default=None, compare=False)

    @property
    def is_owner(self) -> bool:
        """Whether it is whoever has the server's home."""
        return self.kind is CallerKind.USER and self.user is None

    @property
    def user_name(self) -> str:
        """The user's name; empty where no user stands behind the token."""
        return self.rights.user if self.rights is not None else ""


NOBODY = Caller(CallerKind.USER, user="", rights=Rights(""))
"""Who asks to be logged in: a user who may do nothing."""


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
    ACCOUNT_READ = "account.read"
    ACCOUNT_ENTER = "account.enter"
    ACCOUNT_LEAVE = "account.leave"
    PROJECTS_READ = "projects.read"
    PROJECTS_WRITE = "projects.write"
    USERS_READ = "users.read"
    USERS_WRITE = "users.write"
    TOKENS_READ = "tokens.read"
    TOKENS_WRITE = "tokens.write"
    AUDIT_READ = "audit.read"


_KINDS: dict[Action, frozenset[CallerKind]] = {
    Action.JOBS_READ: frozenset({CallerKind.USER}),
    Action.JOBS_WRITE: frozenset({CallerKind.USER}),
    Action.CHECKPOINTS_READ: frozenset({CallerKind.USER, CallerKind.RANK}),
    Action.ARTIFACTS_WRITE: frozenset({CallerKind.RANK}),
    Action.FLEET_READ: frozenset({CallerKind.USER}),
    Action.FLEET_WRITE: frozenset({CallerKind.USER}),
    Action.WORKER_REGISTER: frozenset({CallerKind.JOIN, CallerKind.SEAT}),
    Action.WORKER_ACT: frozenset({CallerKind.WORKER}),
    Action.DATASETS_READ: frozenset({CallerKind.USER}),
    Action.BLOCKS_READ: frozenset({CallerKind.USER, CallerKind.WORKER}),
    Action.DATASETS_WRITE: frozenset({CallerKind.USER}),
    Action.SNAPSHOTS_READ: frozenset({CallerKind.USER, CallerKind.WORKER}),
    Action.SNAPSHOTS_WRITE: frozenset({CallerKind.USER}),
    Action.DAMAGE_READ: frozenset({CallerKind.USER}),
    Action.DAMAGE_WRITE: frozenset({CallerKind.USER}),
    Action.SESSIONS_WRITE: frozenset({CallerKind.USER}),
    Action.ACCOUNT_READ: frozenset({CallerKind.USER}),
    Action.ACCOUNT_ENTER: frozenset({CallerKind.USER}),
    Action.ACCOUNT_LEAVE: frozenset({CallerKind.USER}),
    Action.PROJECTS_READ: frozenset({CallerKind.USER}),
    Action.PROJECTS_WRITE: frozenset({CallerKind.USER}),
    Action.USERS_READ: frozenset({CallerKind.USER}),
    Action.USERS_WRITE: frozenset({CallerKind.USER}),
    Action.TOKENS_READ: frozenset({CallerKind.USER}),
    Action.TOKENS_WRITE: frozenset({CallerKind.USER}),
    Action.AUDIT_READ: frozenset({CallerKind.USER}),
}
"""The kinds of callers that an action can be allowed to."""
_READS = frozenset(
    {
        Action.JOBS_READ,
        Action.CHECKPOINTS_READ,
        Action.FLEET_READ,
        Action.DATASETS_READ,
        Action.BLOCKS_READ,
        Action.SNAPSHOTS_READ,
        Action.DAMAGE_READ,
        Action.ACCOUNT_READ,
        Action.PROJECTS_READ,
        Action.USERS_READ,
        Action.TOKENS_READ,
        Action.AUDIT_READ,
    }
)
"""What changes nothing: a viewer, and a token for reading, may do it."""
_OF_ADMINS = frozenset(
    {
        Action.FLEET_WRITE,
        Action.DAMAGE_READ,
        Action.DAMAGE_WRITE,
        Action.PROJECTS_WRITE,
        Action.USERS_READ,
        Action.USERS_WRITE,
        Action.AUDIT_READ,
    }
)
"""What only administrators do."""
_NEEDED_SCOPE = {
    Action.FLEET_WRITE: Scope.FLEET,
    Action.JOBS_WRITE: Scope.WRITE,
    Action.DATASETS_WRITE: Scope.WRITE,
    Action.SNAPSHOTS_WRITE: Scope.WRITE,
}
"""The scope that a token needs for what changes something. No scope allows anything else: that takes a login."""


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
class UserSubject:
    """What belongs to one user: the account, tokens, sessions. `user` is the `uid`; None: the installation's own."""

    user: str | None
    name: str


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
    | UserSubject
    | DatasetSubject
    | SnapshotSubject
)
"""The object that an action is done to."""


class Decisions:
    """What `require` decided for one request."""

    def __init__(self) -> None:
        self.allowed: set[Action] = set()

    def note(self, caller: Caller, action: Action, subject: Subject, *, allowed: bool) -> None:
        """It was decided whether the caller may do this."""
        if allowed:
            self.allowed.add(action)

    def made(self, subject: Subject) -> None:
        """What was decided last makes this object."""

    def detail(self, text: str) -> None:
        """What is changed, in words."""


_decided: ContextVar[Decisions | None] = ContextVar("decided", default=None)


@contextmanager
def deciding(decisions: Decisions) -> Iterator[None]:
    """`require` notes its decisions here, so that an answer that no decision stands behind is noticed."""
    token = _decided.set(decisions)
    try:
        yield
    finally:
        _decided.reset(token)


def made(subject: Subject) -> None:
    """Say what object a caller makes, once it has an id: the decision before named only what it is added to."""
    decisions = _decided.get()
    if decisions is not None:
        decisions.made(subject)


def detail(text: str) -> None:
    """Say in words what a caller changes, for the audit."""
    decisions = _decided.get()
    if decisions is not None:
        decisions.detail(text)


def actor_of(caller: Caller) -> Actor:
    """The actor that is recorded for this caller. A joining machine or a rank acts as a worker."""
    kind = ActorKind.USER if caller.kind is CallerKind.USER else ActorKind.WORKER
    return Actor(kind=kind, credential=caller.credential, worker=caller.worker, user=caller.user)


def allowed_kinds(action: Action) -> frozenset[CallerKind]:
    """The kinds of callers that the action can be allowed to."""
    return _KINDS[action]


def admit(caller: Caller, action: Action) -> None:
    """Refuse an action that this kind of caller is never allowed, before any lookup. Raises NotAllowed."""
    if caller.kind not in _KINDS[action]:
        raise NotAllowed(f"A {caller.kind} token does not allow {action}.")


def changes_something(action: Action) -> bool:
    """Whether the action is more than reading."""
    return action not in _READS


def require(caller: Caller, action: Action, subject: Subject, absent: NotFound) -> None:
    """Check that the caller may do `action` to the loaded object.

    Raises `absent`, the error for an object that does not exist, if the caller may not see the object. Raises
    NotAllowed if it may see the object but not do the action.
    """
    decided = _decided.get()
    try:
        if not _sees(caller, subject):
            raise absent
        admit(caller, action)
        if caller.kind is CallerKind.USER and not caller.is_owner:
            _check_rights(caller.rights or Rights(""), action, subject)
    except (NotFound, NotAllowed):
        if decided is not None:
            decided.note(caller, action, subject, allowed=False)
        raise
    if decided is not None:
        decided.note(caller, action, subject, allowed=True)


def require_in_project(caller: Caller, action: Action, project: str) -> None:
    """`require` for what a project has as a whole. Raises NotFound, NotAllowed."""
    require(caller, action, ProjectSubject(project), no_project(project))


def no_project(name: str) -> NotFound:
    """The error for a project that does not exist, or that the caller may not see."""
    return NotFound(f"Project {name} does not exist. `headway projects` lists yours.")


def require_in_installation(caller: Caller, action: Action) -> None:
    """`require` for what belongs to no project. Raises NotAllowed."""
    require(caller, action, InstallationSubject(), NotFound("This does not exist."))


def require_as_worker(caller: Caller, worker_id: str) -> None:
    """Check that the caller is this worker. Raises NotFound, NotAllowed."""
    require(caller, Action.WORKER_ACT, WorkerSubject(worker_id), NotFound(f"Worker {worker_id} does not exist."))


def sees_project(caller: Caller, project: str) -> bool:
    """Whether a user may know of the project and what it has."""
    return _sees(caller, ProjectSubject(project))


def project_of(subject: Subject) -> str | None:
    """The project that the subject belongs to; None if it belongs to none."""
    match subject:
        case ProjectSubject(name=project):
            return project
        case JobSubject() | AttemptSubject() | DatasetSubject() | SnapshotSubject():
            return subject.project
    return None


def _sees(caller: Caller, subject: Subject) -> bool:
    """Whether the caller may know of the object."""
    if caller.kind is CallerKind.USER:
        return caller.is_owner or _user_sees(caller, caller.rights or Rights(""), subject)
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
        case UserSubject():
            return False


def _user_sees(caller: Caller, rights: Rights, subject: Subject) -> bool:
    """A user sees what belongs to a project with a role there, and the account that is the user's own."""
    if isinstance(subject, UserSubject):
        return subject.user == caller.user or rights.admin
    project = project_of(subject)
    return project is None or rights.role_in(project) is not None


def _check_rights(rights: Rights, action: Action, subject: Subject) -> None:
    """Raises NotAllowed for what the role, or the token, does not allow."""
    if action in _OF_ADMINS and not rights.admin:
        raise NotAllowed(f"Only an administrator may do this ({action}).")
    if action in _READS or action in (Action.ACCOUNT_ENTER, Action.ACCOUNT_LEAVE):
        return
    project = project_of(subject)
    if project is not None and rights.role_in(project) is not Role.MEMBER:
        raise NotAllowed(f"User {rights.user} is a viewer of project {project}, which does not allow {action}.")
    if rights.scopes is not None and _NEEDED_SCOPE.get(action) not in rights.scopes:
        held = ", ".join(sorted(rights.scopes))
        raise NotAllowed(f"This token has the scope {held}, which does not allow {action}.")
