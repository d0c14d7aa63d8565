"""Which jobs to list, and in what order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from headway.core.job import Job
from headway.core.status import JobStatus


class JobSort(StrEnum):
    """The sort key. Jobs without a value come last. Jobs with equal values are sorted newest first."""

    CREATED = "created"
    DURATION = "duration"
    LOSS = "loss"
    ACCURACY = "accuracy"
    F1 = "f1"


@dataclass(frozen=True)
class JobQuery:
    """The filters of a listing; an empty field does not filter. `after`: (value, sequence) of the previous job.

    `name` is a part of the name. All `labels` must match. Times are seconds since the epoch.
    """

    project: str
    statuses: tuple[JobStatus, ...] = ()
    name: str = ""
    dataset: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    created_after: float | None = None
    created_before: float | None = None
    sort: JobSort = JobSort.CREATED
    descending: bool = True
    after: tuple[float | None, int] | None = None
    limit: int = 50


def sort_values(job: Job) -> dict[JobSort, float | None]:
    """The values that the job can be sorted by: time of submission, duration, and test figures."""
    test: Any = (job.result or {}).get("test")
    figures = test if isinstance(test, dict) else {}
    values: dict[JobSort, float | None] = {JobSort.CREATED: job.created_at, JobSort.DURATION: job.duration_seconds}
    for sort in (JobSort.LOSS, JobSort.ACCURACY, JobSort.F1):
        value = figures.get(sort.value)
        values[sort] = float(value) if isinstance(value, int | float) and value == value else None
    return values
