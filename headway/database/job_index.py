"""The fields by which databases find and sort jobs, in addition to the stored job."""

from __future__ import annotations

from typing import Any

from headway.core.job import Job
from headway.core.job_query import sort_values


def index_fields(job: Job) -> dict[str, Any]:
    """The fields that every database stores for each version of a job. Each stores labels in its own way."""
    return {
        "status": job.status.value,
        "version": job.version,
        "unsettled": job.unsettled,
        "hold": job.hold,
        "dataset": job.spec.dataset,
        "snapshot": job.spec.snapshot,
        **{sort.value: value for sort, value in sort_values(job).items()},
    }
