"""Jobs: submit, list, get, cancel, delete, follow."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import BaseModel

from headway.core.artifact import Artifact
from headway.core.attempt import Attempt
from headway.core.job import Job, JobSpec
from headway.core.placement import explain_waiting, used_slots
from headway.core.status import JobStatus
from headway.errors import InvalidInput
from headway.server.access import Action
from headway.server.api.common import Allow, JobHere, ServerHere, event_stream, start_cursor
from headway.server.server import Server
from headway.server.services.streams import Kind

router = APIRouter(prefix="/jobs", tags=["jobs"])
READ = [Depends(Allow(Action.JOBS_READ))]
WRITE = [Depends(Allow(Action.JOBS_WRITE))]


class JobView(BaseModel):
    """A job as users see it. Times are seconds since the epoch; `sentence` says how it stands, for people."""

    id: str
    project: str
    name: str
    status: JobStatus
    sentence: str
    reason: str | None
    blame: str | None
    spec: JobSpec
    attempt: Attempt | None
    retries_used: int
    result: dict[str, Any] | None
    artifacts: tuple[Artifact, ...]
    warnings: tuple[str, ...]
    created_at: float
    started_at: float | None
    ended_at: float | None


class JobPage(BaseModel):
    """Jobs, newest first; `next` is the cursor of the page after this one."""

    jobs: list[JobView]
    next: str | None


def view(job: Job, sentence: str | None = None) -> JobView:
    """The job without its undelivered events and other inner things."""
    fields = {name: getattr(job, name) for name in JobView.model_fields if name not in ("blame", "sentence")}
    return JobView(
        **{**fields, "reason": job.reason.value if job.reason else None},
        blame=job.reason.blame.value if job.reason else None,
        sentence=job.sentence if sentence is None else sentence,
    )


async def explain(server: Server, job: Job) -> str:
    """How the job stands, in a sentence, with why it waits if it does."""
    if job.status is JobStatus.QUEUED:
        queue = await server.database.queued_jobs(200)
        waits = explain_waiting(job, queue, server.engine.workers(), used_slots(server.jobs.unsettled.values()))
        return f"{job.sentence} {waits}".strip()
    if job.status is JobStatus.STARTING:
        return "Its workers are starting the ranks."
    if job.status is JobStatus.RUNNING:
        return "Training."
    if job.status is JobStatus.STOPPING and not job.sentence:
        return "Its ranks are being ended."
    return job.sentence


@router.post("", dependencies=WRITE, status_code=201)
async def submit(
    spec: JobSpec,
    request: Request,
    response: Response,
    server: ServerHere,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=256)] = None,
) -> JobView:
    """Submit a job. The same `Idempotency-Key` with the same body answers 200 with the same job."""
    if spec.dataset is not None:
        await server.datasets.find(spec.dataset)
    job, new = await server.jobs.submit(spec, await request.body(), idempotency_key)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return view(job)


@router.get("", dependencies=READ)
async def list_jobs(
    server: ServerHere,
    status: Annotated[list[JobStatus] | None, Query(description="Only these; may be repeated.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> JobPage:
    """Jobs, newest first."""
    if cursor is not None and not cursor.isdecimal():
        raise InvalidInput(f"Cursor {cursor[:40]!r} is not one of ours; leave it out to begin anew.")
    found = await server.jobs.list(status or (), limit + 1, int(cursor) if cursor else None)
    page = found[:limit]
    more = str(page[-1].sequence) if len(found) > limit else None
    return JobPage(jobs=[view(job) for job in page], next=more)


@router.get("/{job}", dependencies=READ)
async def get_job(job: JobHere, server: ServerHere) -> JobView:
    """One job, by id or name."""
    return view(job, await explain(server, job))


@router.post("/{job}/cancel", dependencies=WRITE)
async def cancel(job: JobHere, server: ServerHere) -> JobView:
    """End the job. Its ranks get SIGTERM, and SIGKILL after a grace time."""
    return view(await server.jobs.cancel(job.id))


@router.delete("/{job}", dependencies=WRITE, status_code=204)
async def delete(job: JobHere, server: ServerHere) -> None:
    """Delete an ended job with its logs, metrics and artifacts. Its name is free, its idempotency key stays taken."""
    await server.jobs.delete(job)
    await server.artifacts.delete_all(job)


@router.get("/{job}/attempts", dependencies=READ)
async def attempts(job: JobHere, server: ServerHere) -> list[Attempt]:
    """All attempts, oldest first."""
    ended = [one for one in await server.database.attempts(job.id) if one.number != job.attempt_number]
    return [*ended, *([job.attempt] if job.attempt else [])]


@router.get("/{job}/follow", dependencies=READ)
async def follow(
    job: JobHere,
    request: Request,
    server: ServerHere,
    include: Annotated[str, Query(description="Which of events, logs and metrics.")] = "events,logs,metrics",
    cursor: Annotated[str | None, Query()] = None,
) -> Response:
    """Server-sent events of everything about the job, until it has ended; goes on behind `Last-Event-ID`."""
    kinds: set[Kind] = set()
    for word in include.split(","):
        match word.strip():
            case "events" | "logs" | "metrics" as kind:
                kinds.add(kind)
            case other:
                raise InvalidInput(f"{other!r} cannot be followed; there are events, logs and metrics.")
    return event_stream(server, job, start_cursor(request, cursor), kinds)
