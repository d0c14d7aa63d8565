"""The smallest changes of a job. All other changes are made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headway.core.actor import Actor
from headway.core.attempt import Assignment
from headway.core.job import Event, Job, WakeUp
from headway.core.status import AssignmentState
from headway.core.warning_kind import WarningKind

MAXIMUM_WARNINGS = 20


def emit(job: Job, type: str, now: float, **data: Any) -> Job:
    """Append an event."""
    event = Event(number=job.event_count + 1, type=type, at=now, data=data)
    return job.model_copy(update={"events": (*job.events, event), "event_count": event.number})


def attributed(before: Job, after: Job, actor: Actor | None) -> Job:
    """Set the actor of the events that a change appended, where the change itself set none."""
    if actor is None or after.event_count == before.event_count:
        return after
    events = tuple(
        event.model_copy(update={"actor": actor}) if event.number > before.event_count and not event.actor else event
        for event in after.events
    )
    return after.model_copy(update={"events": events})


def warn(job: Job, warning: str, now: float) -> Job:
    """Add a warning. It does not make the job fail."""
    job = emit(job, "job.warned", now, warning=warning)
    return job.model_copy(update={"warnings": (*job.warnings, warning)[:MAXIMUM_WARNINGS]})


def warn_once(job: Job, kind: WarningKind, warning: str, now: float) -> Job:
    """Warn, unless the job already has a warning of that kind."""
    if kind in job.warned:
        return job
    return warn(job.model_copy(update={"warned": (*job.warned, kind)}), warning, now)


def update_attempt(job: Job, **changes: Any) -> Job:
    """Change fields of the newest attempt."""
    if job.attempt is None:
        return job
    return job.model_copy(update={"attempt": job.attempt.model_copy(update=changes)})


def update_assignment(job: Job, worker: str, **changes: Any) -> Job:
    """Change fields of the assignment of `worker` in the newest attempt."""
    attempt = job.attempt
    if attempt is None:
        return job
    assignments = tuple(
        assignment.model_copy(update=changes) if assignment.worker == worker else assignment
        for assignment in attempt.assignments
    )
    return update_attempt(job, assignments=assignments)


def wake(job: Job, chosen: Callable[[Assignment], bool]) -> Job:
    """Append a wake-up for each worker of the newest attempt whose assignment is chosen."""
    attempt = job.attempt
    if attempt is None:
        return job
    wakeups = tuple(
        WakeUp(worker=assignment.worker, job=job.id, attempt=attempt.number)
        for assignment in attempt.assignments
        if chosen(assignment)
    )
    return job.model_copy(update={"wakeups": (*job.wakeups, *wakeups)})


def open_assignment(job: Job, number: int, worker: str) -> Assignment | None:
    """The assignment of `worker` in attempt `number`; None if the attempt is not the newest, has ended, or the
    assignment is released."""
    attempt = job.open_attempt(number)
    assignment = attempt.assignment_of(worker) if attempt is not None else None
    return None if assignment is None or assignment.state is AssignmentState.RELEASED else assignment
