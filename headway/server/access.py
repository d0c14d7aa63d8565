"""Who may do what: the one place where accounts and roles plug in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from headway.errors import NotAllowed


class CallerKind(StrEnum):
    """`user`: a person or program. `join`: a machine that may register. `worker`: a registered one. `rank`: a rank."""

    USER = "user"
    JOIN = "join"
    WORKER = "worker"
    RANK = "rank"


@dataclass(frozen=True)
class Caller:
    """Who asks, and the worker, or job and attempt, that the token is bound to."""

    kind: CallerKind
    worker: str | None = None
    job: str | None = None
    attempt: int | None = None


class Action(StrEnum):
    """What can be asked for; every route names one."""

    JOBS_READ = "jobs.read"
    JOBS_WRITE = "jobs.write"
    FLEET_READ = "fleet.read"
    FLEET_WRITE = "fleet.write"
    WORKER_REGISTER = "worker.register"
    WORKER_ACT = "worker.act"
    DATASETS_READ = "datasets.read"
    DATASETS_WRITE = "datasets.write"
    SNAPSHOTS_READ = "snapshots.read"
    SNAPSHOTS_WRITE = "snapshots.write"
    ARTIFACTS_WRITE = "artifacts.write"


_ALLOWED: dict[Action, frozenset[CallerKind]] = {
    Action.JOBS_READ: frozenset({CallerKind.USER}),
    Action.JOBS_WRITE: frozenset({CallerKind.USER}),
    Action.FLEET_READ: frozenset({CallerKind.USER}),
    Action.FLEET_WRITE: frozenset({CallerKind.USER}),
    Action.WORKER_REGISTER: frozenset({CallerKind.JOIN}),
    Action.WORKER_ACT: frozenset({CallerKind.WORKER}),
    Action.DATASETS_READ: frozenset({CallerKind.USER, CallerKind.WORKER}),
    Action.DATASETS_WRITE: frozenset({CallerKind.USER}),
    Action.SNAPSHOTS_READ: frozenset({CallerKind.USER, CallerKind.WORKER}),
    Action.SNAPSHOTS_WRITE: frozenset({CallerKind.USER}),
    Action.ARTIFACTS_WRITE: frozenset({CallerKind.RANK}),
}


def authorise(
    caller: Caller, action: Action, *, worker: str | None = None, job: str | None = None, attempt: int | None = None
) -> None:
    """Let the caller do `action` to the named object, or raise NotAllowed."""
    if caller.kind not in _ALLOWED[action]:
        raise NotAllowed(f"A {caller.kind} token does not allow {action}.")
    if caller.kind is CallerKind.WORKER and worker is not None and worker != caller.worker:
        raise NotAllowed(f"This token is worker {caller.worker}'s; it does not allow acting as worker {worker}.")
    if caller.kind is CallerKind.RANK and (job, attempt) != (caller.job, caller.attempt):
        raise NotAllowed(f"This token is for attempt {caller.attempt} of job {caller.job} only.")
