"""Jobs as a list shows them."""

from __future__ import annotations

import shlex

from headway.core.curve import Curve
from headway.core.frozen import Frozen
from headway.core.job import Job
from headway.core.job_query import JobSort, sort_values
from headway.core.json_value import as_json
from headway.core.resume_point import resumes_from
from headway.core.status import JobStatus
from headway.core.training_progress import TrainingProgress
from headway.rank_protocol.paths import CALL_SCRIPT
from headway.server.api.job_views import JobFields
from headway.server.api.number import Number
from headway.server.services.rows import Row

_PROGRAM_CHARACTERS = 100


class RowMetric(Frozen):
    """The newest point of a job's main metric."""

    name: str
    step: int
    value: Number


class JobRow(JobFields):
    """A job as a list shows it. Times are seconds since the epoch. Of a queued job, `sentence` says why it waits."""

    program: str
    """What it runs: the trainer, the script, the function, or the command. The end of a long command is cut."""
    dataset: str | None
    world_size: int
    """How many ranks it asks for."""
    ranks: int
    """How many ranks its newest attempt has; before the first, how many it asks for."""
    queue_position: int | None
    """Its place in the queue, from 1; null if it does not wait there, or cannot start even on an empty fleet."""
    step: int | None
    """The newest step that is known: while it trains, that of `progress`; after that, where it ended or would continue.
    """
    total_steps: int | None
    """The total number of steps, if the script declares it."""
    metric: RowMetric | None
    """The newest point of its main metric: `train/loss` or `loss`, else another loss, else the first by name."""
    sparkline: list[int | None]
    """Up to 32 values of the main metric, by step: 0 is the least of them, 100 the greatest; null is not finite."""
    test: dict[str, float]
    """Loss, accuracy and F1 of the test, as far as the result has them. Jobs can be sorted by them."""
    attempts: int
    warnings: int
    """How many warnings it has."""
    owner: str | None
    """The name of the user who submitted it; null: the token of the server's home, or a user who is gone."""
    running_since: float | None
    """When the ranks of its running attempt had started, in seconds since the epoch; null if none runs."""


_OF_JOB = (
    "id", "project", "name", "status", "labels", "hold", "retries_used", "created_at", "submitted_by", "started_at",
    "ran_seconds", "ended_at",
)  # fmt: skip


def job_row(row: Row) -> JobRow:
    """The job as a list shows it."""
    job, spec, attempt = row.job, row.job.spec, row.job.attempt
    return JobRow.model_construct(
        **{name: getattr(job, name) for name in _OF_JOB},
        sentence=row.sentence,
        reason=job.reason.value if job.reason else None,
        program=_program(job),
        dataset=spec.dataset,
        world_size=spec.world_size,
        ranks=sum(one.rank_count for one in attempt.assignments) if attempt else spec.world_size,
        queue_position=row.waiting.position if row.waiting is not None and row.waiting.misfit is None else None,
        progress=row.progress,
        step=_step(job, row.progress, row.curve),
        total_steps=attempt.total_steps if attempt else None,
        metric=_metric(row.curve),
        sparkline=row.curve.levels() if row.curve is not None else [],
        test=_test(job),
        attempts=job.attempt_number,
        warnings=len(job.warnings),
        owner=row.owner,
        running_since=attempt.started_at if attempt and attempt.ended_at is None else None,
    )


def _program(job: Job) -> str:
    spec = job.spec
    if spec.script == CALL_SCRIPT and "function" in job.labels:
        return f"{job.labels['function']}()"
    if spec.trainer or spec.script:
        return spec.trainer or shlex.quote(spec.script or "")
    words = shlex.join(("-m", spec.module) if spec.module else spec.command)
    return words if len(words) <= _PROGRAM_CHARACTERS else f"{words[: _PROGRAM_CHARACTERS - 3]}..."


def _step(job: Job, progress: TrainingProgress | None, curve: Curve | None) -> int | None:
    if progress is not None:
        return progress.step
    failure = job.attempt.failure if job.attempt else None
    if job.status is JobStatus.FAILED and failure is not None and failure.step is not None:
        return failure.step
    logged = curve.steps[-1] if curve is not None and job.status.terminal else None
    return max((step for step in (logged, resumes_from(job)) if step is not None), default=None)


def _metric(curve: Curve | None) -> RowMetric | None:
    if curve is None:
        return None
    return RowMetric.model_construct(name=curve.name, step=curve.steps[-1], value=as_json(curve.values[-1]))


def _test(job: Job) -> dict[str, float]:
    values = sort_values(job)
    of_test = (JobSort.LOSS, JobSort.ACCURACY, JobSort.F1)
    return {sort.value: value for sort in of_test if (value := values[sort]) is not None}
