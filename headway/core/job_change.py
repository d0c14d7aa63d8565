"""The smallest changes of a job, of which all others are made."""

from __future__ import annotations

from typing import Any

from headway.core.job import Event, Job

MAXIMUM_WARNINGS = 20


def emit(job: Job, type: str, now: float, **data: Any) -> Job:
    """Append an event."""
    event = Event(number=job.event_count + 1, type=type, at=now, data=data)
    return job.model_copy(update={"events": (*job.events, event), "event_count": event.number})


def warn(job: Job, warning: str, now: float) -> Job:
    """Say something that the user should know, though nothing fails for it."""
    job = emit(job, "job.warned", now, warning=warning)
    return job.model_copy(update={"warnings": (*job.warnings, warning)[:MAXIMUM_WARNINGS]})


def update_attempt(job: Job, **changes: Any) -> Job:
    """Change fields of the newest attempt."""
    if job.attempt is None:
        return job
    return job.model_copy(update={"attempt": job.attempt.model_copy(update=changes)})
