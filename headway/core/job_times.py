"""Keeps the times of a job in order, although the clocks of servers and workers differ.

The rule: no time of a job is earlier than the previous one. An earlier server time is replaced by the job's latest
time. A worker's time is limited to the range between the attempt's previous time and the server's receipt.
"""

from __future__ import annotations

from typing import Any

from headway.core.attempt import Attempt
from headway.core.facts import Fact, RankEnded, StageReached
from headway.core.job import Job


def in_order(before: Job, after: Job) -> Job:
    """The changed job; new times that are earlier than the job's latest time are replaced by it."""
    floor = _latest(before)
    changes: dict[str, Any] = {}
    if any(event.at < floor for event in after.events if event.number > before.event_count):
        changes["events"] = tuple(
            event.model_copy(update={"at": max(event.at, floor)}) if event.number > before.event_count else event
            for event in after.events
        )
    changes |= _later(before, after, ("started_at", "ended_at", "held_at"), floor)
    attempt = after.attempt
    if attempt is not None:
        former = before.attempt if before.attempt is not None and before.attempt.number == attempt.number else None
        late = _later(former, attempt, ("placed_at", "started_at", "ended_at"), floor)
        if late:
            changes["attempt"] = attempt.model_copy(update=late)
    return after.model_copy(update=changes) if changes else after


def _later(
    before: Job | Attempt | None, after: Job | Attempt, names: tuple[str, ...], floor: float
) -> dict[str, float]:
    """Replaces new times before `floor` with `floor`."""
    found = {}
    for name in names:
        at = getattr(after, name)
        if at is not None and at < floor and at != getattr(before, name, None):
            found[name] = floor
    return found


def _latest(job: Job) -> float:
    attempt = job.attempt
    times = [job.created_at, job.started_at, job.ended_at, job.held_at, *(event.at for event in job.events)]
    times += [attempt.placed_at, attempt.started_at, attempt.ended_at] if attempt is not None else []
    return max(at for at in times if at is not None)


def dated(fact: Fact, attempt: Attempt, now: float) -> Fact:
    """A worker's fact with its corrected time; the server receives it at `now`."""
    if isinstance(fact, StageReached):
        earliest = max([attempt.placed_at, *attempt.stages.values()])
    elif isinstance(fact, RankEnded):
        earliest = attempt.placed_at if attempt.started_at is None else attempt.started_at
    else:
        return fact
    at = max(earliest, min(fact.at, now))
    return fact if at == fact.at else fact.model_copy(update={"at": at})
