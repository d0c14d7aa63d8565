"""Jobs, attempts and checkpoints as users see them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from headway.core.actor import Actor
from headway.core.artifact import Artifact
from headway.core.attempt import Attempt
from headway.core.cold_start import cold_reason
from headway.core.job import Job, JobSpec, Origin
from headway.core.resume_point import resumes_from
from headway.core.status import JobStatus
from headway.core.training_progress import TrainingProgress
from headway.core.waiting import Waiting
from headway.rank_protocol.checkpoint_parts import PartKind


class CheckpointView(BaseModel):
    """A checkpoint as users see it. Times are seconds since the epoch."""

    step: int
    counted: bool = False
    attempt: int
    complete: bool
    """Whether every rank's part is stored, so that an attempt can start from it."""
    parts_stored: int
    """How many ranks' parts are stored."""
    world_size: int
    kind: PartKind
    at: float | None
    """When it was committed; null while it is being saved."""
    size_bytes: int
    metrics: dict[str, float]
    job: str | None
    """The job that made it; null if this job did."""
    users: tuple[str, ...]
    """The jobs that started from it and still need it."""


class JobFields(BaseModel):
    """The fields that a job and its row in a list share."""

    id: str
    project: str
    name: str
    status: JobStatus
    sentence: str
    reason: str | None
    labels: dict[str, str]
    hold: bool
    progress: TrainingProgress | None
    """How far its training is; null if it does not train now, or logs no steps."""
    retries_used: int
    created_at: float
    submitted_by: Actor | None
    """Who submitted it; null if the job is older than this field."""
    started_at: float | None
    ran_seconds: float
    """How long the ranks of its ended attempts ran. The newest attempt, if it has not ended, has run since its
    `started_at`."""
    ended_at: float | None


class JobView(JobFields):
    """A job as users see it. Times are seconds since the epoch."""

    blame: str | None
    """Who can fix the cause."""
    spec: JobSpec
    cold: str | None
    """Why its ranks start as new processes, which is slower; null if they start warm."""
    notes: str
    attempt: Attempt | None
    result: dict[str, Any] | None
    artifacts: tuple[Artifact, ...]
    checkpoints: list[CheckpointView]
    """The kept checkpoints, oldest first, then those being saved."""
    origin: Origin | None
    resumes_from: int | None
    """The step where its next attempt would continue; null: from the beginning."""
    waiting: Waiting | None
    """Its place in the queue. Only in the answer for a single job."""
    warnings: tuple[str, ...]


class AttemptView(Attempt):
    """An attempt as users see it."""

    repeats_steps: int | None = None
    """How many logged steps of earlier attempts it repeats: those after the step where it continued. Null if none was
    logged."""


_DERIVED = ("resumes_from", "reason", "blame", "sentence", "cold", "checkpoints", "waiting", "progress")


def job_view(
    job: Job, sentence: str | None = None, waits: Waiting | None = None, progress: TrainingProgress | None = None
) -> JobView:
    """The job without undelivered events and other internal fields."""
    fields = {name: getattr(job, name) for name in JobView.model_fields if name not in _DERIVED}
    return JobView(
        **fields,
        reason=job.reason.value if job.reason else None,
        blame=job.reason.blame.value if job.reason else None,
        sentence=job.sentence if sentence is None else sentence,
        cold=cold_reason(job.spec),
        checkpoints=checkpoint_views(job),
        waiting=waits,
        progress=progress,
        resumes_from=resumes_from(job),
    )


def checkpoint_views(job: Job) -> list[CheckpointView]:
    """All checkpoints of a job: the kept ones, oldest first, then those being saved."""
    views = [
        CheckpointView(
            step=one.step,
            counted=one.counted,
            attempt=one.attempt,
            complete=True,
            parts_stored=1 if one.kind is PartKind.FILES else one.world_size,
            world_size=one.world_size,
            kind=one.kind,
            at=one.at,
            size_bytes=one.size_bytes,
            metrics=one.metrics,
            job=one.job,
            users=tuple(sorted(one.users)),
        )
        for one in job.checkpoints
    ]
    attempt = job.attempt
    for step, saving in sorted(attempt.saving.items()) if attempt is not None and attempt.ended_at is None else ():
        views.append(
            CheckpointView(
                step=step,
                attempt=job.attempt_number,
                complete=False,
                parts_stored=len(saving.ranks),
                world_size=attempt.world_size if attempt else 0,
                kind=PartKind.STATE,
                at=None,
                size_bytes=saving.size_bytes,
                metrics=saving.metrics,
                job=None,
                users=(),
            )
        )
    return views
