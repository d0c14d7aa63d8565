"""The function that decides: caller, action and object, in a table."""

from __future__ import annotations

import pytest

from headway.errors import NotAllowed, NotFound
from headway.server.access import (
    Action,
    AttemptSubject,
    Caller,
    CallerKind,
    DatasetSubject,
    Decisions,
    InstallationSubject,
    JobSubject,
    ProjectSubject,
    SnapshotSubject,
    Subject,
    WorkerSubject,
    actor_of,
    admit,
    deciding,
    require,
)

USER = Caller(CallerKind.USER, credential="t-1")
JOIN = Caller(CallerKind.JOIN)
WORKER = Caller(CallerKind.WORKER, worker="w-1")
RANK = Caller(CallerKind.RANK, job="j-1", attempt=2)
JOB, ATTEMPT = JobSubject("j-1", "p"), AttemptSubject("j-1", "p", 2)
ABSENT = NotFound("It does not exist.")


@pytest.mark.parametrize(
    ("caller", "action", "subject"),
    [
        (USER, Action.JOBS_READ, JOB),
        (USER, Action.JOBS_READ, ProjectSubject("p")),
        (USER, Action.CHECKPOINTS_READ, JOB),
        (USER, Action.DAMAGE_WRITE, InstallationSubject()),
        (USER, Action.FLEET_WRITE, WorkerSubject("w-1")),
        (USER, Action.SNAPSHOTS_READ, SnapshotSubject("0", "p")),
        (JOIN, Action.WORKER_REGISTER, InstallationSubject()),
        (WORKER, Action.WORKER_ACT, WorkerSubject("w-1")),
        (WORKER, Action.SNAPSHOTS_READ, SnapshotSubject("0", "p", needed_by="w-1")),
        (WORKER, Action.BLOCKS_READ, DatasetSubject("d", None, needed_by="w-1")),
        (RANK, Action.ARTIFACTS_WRITE, ATTEMPT),
        (RANK, Action.CHECKPOINTS_READ, ATTEMPT),
        (RANK, Action.CHECKPOINTS_READ, JOB),
    ],
)
def test_what_is_allowed(caller: Caller, action: Action, subject: Subject) -> None:
    require(caller, action, subject, ABSENT)


@pytest.mark.parametrize(
    ("caller", "action", "subject"),
    [
        (JOIN, Action.JOBS_READ, JOB),
        (WORKER, Action.JOBS_READ, JOB),
        (WORKER, Action.WORKER_ACT, WorkerSubject("w-2")),
        (WORKER, Action.SNAPSHOTS_READ, SnapshotSubject("0", "p")),
        (WORKER, Action.SNAPSHOTS_READ, SnapshotSubject("0", "p", needed_by="w-2")),
        (WORKER, Action.BLOCKS_READ, DatasetSubject("d", None)),
        (RANK, Action.CHECKPOINTS_READ, JobSubject("j-2", "p")),
        (RANK, Action.ARTIFACTS_WRITE, AttemptSubject("j-1", "p", 1)),
        (RANK, Action.ARTIFACTS_WRITE, AttemptSubject("j-2", "p", 2)),
        (RANK, Action.WORKER_ACT, WorkerSubject("w-1")),
    ],
)
def test_an_object_that_a_caller_may_not_see_is_absent(caller: Caller, action: Action, subject: Subject) -> None:
    with pytest.raises(NotFound) as raised:
        require(caller, action, subject, ABSENT)
    assert raised.value is ABSENT


@pytest.mark.parametrize(
    ("caller", "action", "subject"),
    [
        (USER, Action.ARTIFACTS_WRITE, ATTEMPT),
        (USER, Action.WORKER_ACT, WorkerSubject("w-1")),
        (JOIN, Action.FLEET_READ, InstallationSubject()),
        (RANK, Action.JOBS_READ, JOB),
        (RANK, Action.JOBS_WRITE, ProjectSubject("p")),
    ],
)
def test_an_action_that_is_not_allowed_on_a_visible_object_is_refused(
    caller: Caller, action: Action, subject: Subject
) -> None:
    with pytest.raises(NotAllowed, match=f"A {caller.kind} token does not allow {action}."):
        require(caller, action, subject, ABSENT)


def test_a_kind_that_is_never_allowed_an_action_is_refused_before_anything_is_looked_up() -> None:
    admit(RANK, Action.CHECKPOINTS_READ)
    with pytest.raises(NotAllowed):
        admit(RANK, Action.JOBS_READ)


def test_only_decisions_that_allow_are_noted() -> None:
    decided = Decisions()
    with deciding(decided):
        require(USER, Action.JOBS_READ, JOB, ABSENT)
        with pytest.raises(NotFound):
            require(WORKER, Action.JOBS_WRITE, JOB, ABSENT)
    require(USER, Action.JOBS_WRITE, JOB, ABSENT)  # outside of `deciding` it is not noted
    assert decided.allowed == {Action.JOBS_READ}


def test_an_actor_is_a_user_or_a_worker() -> None:
    user, worker, rank = actor_of(USER), actor_of(WORKER), actor_of(RANK)
    assert (user.kind, user.credential, user.worker) == ("user", "t-1", None)
    assert (worker.kind, worker.worker) == ("worker", "w-1")
    assert rank.kind == "worker"
