"""A job as it is before it is stored."""

from __future__ import annotations

from headway.core.job import Job, JobSpec
from headway.server.ids import draw_id


def new_job(spec: JobSpec) -> Job:
    drawn = draw_id("j-")
    return Job(id=drawn, project="default", name=drawn, idempotency_key=drawn, body_hash="", spec=spec, created_at=1.0)
