"""Jobs: list, get, describe, cancel, pause, resume, delete, follow."""

from __future__ import annotations

import base64
import json
from typing import Annotated, Literal

from fastapi import Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AllowInfNan, BaseModel, Field, TypeAdapter

from headway.core.damaged import DamagedRow
from headway.core.frozen import Frozen
from headway.core.goodput import Goodput
from headway.core.job import MAXIMUM_NOTES_CHARACTERS
from headway.core.job_query import JobQuery, JobSort, sort_values
from headway.core.json_value import LARGEST_INTEGER, shown
from headway.core.name import check_labels
from headway.core.resume_point import resume_sentence, stop_sentence
from headway.core.status import JobStatus
from headway.errors import InvalidInput
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.compression import compressed
from headway.server.api.event_streams import event_stream, start_cursor
from headway.server.api.frames import stream_answer
from headway.server.api.job_rows import JobRow, job_row
from headway.server.api.job_views import AttemptView, JobView, job_view
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.services.streams import StreamKind

router = guarded_router(prefix="/jobs", tags=["jobs"])
READ = [Depends(Allow(Action.JOBS_READ))]
WRITE = [Depends(Allow(Action.JOBS_WRITE))]

Moment = Annotated[float, AllowInfNan(False)]
_CURSOR = TypeAdapter(
    tuple[Annotated[float, AllowInfNan(False)] | None, Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]]
)


class JobPage(BaseModel):
    """Jobs in the requested order, as a list shows them. `GET /jobs/{job}` has all of a job."""

    jobs: list[JobRow]
    next: str | None
    """The cursor of the next page."""
    counts: dict[str, int] | None
    """How many jobs the project has, by status, whatever the filters: `paused` is queued and on hold. Only on the first
    page."""
    damaged: list[DamagedRow]
    """All jobs whose rows cannot be read, whatever the filters. Only on the first page."""


class Description(Frozen):
    """Labels and notes of a job. A field that is left out stays as it is."""

    labels: Annotated[dict[str, str], Field(max_length=64)] | None = None
    notes: Annotated[str, Field(max_length=MAXIMUM_NOTES_CHARACTERS)] | None = None


@router.get("", dependencies=READ, responses={200: {"model": JobPage}})
async def list_jobs(
    request: Request,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    status: Annotated[list[JobStatus] | None, Query(max_length=20, description="Only these; may be repeated.")] = None,
    name: Annotated[str, Query(max_length=63, description="Only jobs whose name contains this.")] = "",
    dataset: Annotated[str | None, Query(max_length=63)] = None,
    label: Annotated[
        list[str] | None, Query(max_length=64, description="`NAME=VALUE`; may be repeated: all must match.")
    ] = None,
    created_after: Annotated[Moment | None, Query(description="Seconds since the epoch.")] = None,
    created_before: Annotated[Moment | None, Query(description="Seconds since the epoch.")] = None,
    sort: JobSort = JobSort.CREATED,
    order: Annotated[Literal["descending", "ascending"], Query()] = "descending",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=200, description="Opaque: `next` of the previous page.")] = None,
) -> Response:
    """Jobs, newest first by default. Jobs without a value for the sort field come last."""
    query = JobQuery(
        project=project,
        statuses=tuple(status or ()),
        name=name,
        dataset=dataset,
        labels=dict(_label(one) for one in label or ()),
        created_after=created_after,
        created_before=created_before,
        sort=sort,
        descending=order == "descending",
        after=_decode(cursor) if cursor else None,
        limit=limit + 1,
    )
    listed = await server.job_control.list(caller, query)
    rows = listed.rows[:limit]
    more = _encode(sort_values(rows[-1].job)[sort], rows[-1].job.sequence) if len(listed.rows) > limit else None
    page = JobPage.model_construct(
        jobs=[job_row(one) for one in rows], next=more, counts=listed.counts, damaged=listed.damaged
    )
    return compressed(request, page.model_dump_json().encode())


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidInput(f"label is {text[:80]!r}; it must be NAME=VALUE.")
    return name, value


def _encode(value: float | None, sequence: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([value, sequence]).encode()).decode()


def _decode(cursor: str) -> tuple[float | None, int]:
    try:
        return _CURSOR.validate_json(base64.urlsafe_b64decode(cursor))
    except ValueError as error:
        raise InvalidInput(f"Cursor {shown(cursor)} is not valid here. Leave it out to get the first page.") from error


@router.get("/{job}", dependencies=READ)
async def get_job(job: str, caller: CallerHere, project: ProjectHere, server: ServerHere) -> JobView:
    """One job, by id or name."""
    return job_view(*await server.explanations.explain(caller, project, job))


@router.post("/{job}/cancel", dependencies=WRITE)
async def cancel_job(
    job: str,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    kill: Annotated[bool, Query(description="Send SIGKILL at once, without time to save.")] = False,
) -> JobView:
    """End the job. Its ranks get SIGTERM, then SIGKILL after a grace period."""
    return job_view(await server.job_control.cancel(caller, project, job, kill=kill))


@router.post("/{job}/pause", dependencies=WRITE)
async def pause_job(job: str, caller: CallerHere, project: ProjectHere, server: ServerHere) -> JobView:
    """Ask the ranks to save and end. The job is queued and on hold until it is resumed. Meanwhile it uses no slots.

    `sentence` says what will happen. `resumes_from` is the step where it would continue.
    """
    paused = await server.job_control.pause(caller, project, job)
    return job_view(paused, stop_sentence(paused))


@router.post("/{job}/resume", dependencies=WRITE)
async def resume_job(job: str, caller: CallerHere, project: ProjectHere, server: ServerHere) -> JobView:
    """Let a paused job continue, from its newest checkpoint or from the beginning. `sentence` says which."""
    resumed = await server.job_control.resume(caller, project, job)
    return job_view(resumed, resume_sentence(resumed))


@router.patch("/{job}", dependencies=WRITE)
async def describe_job(
    job: str, description: Description, caller: CallerHere, project: ProjectHere, server: ServerHere
) -> JobView:
    """Change the job's labels and notes."""
    try:
        check_labels(description.labels or {})
    except ValueError as error:
        raise InvalidInput(f"labels: {error}.") from error
    return job_view(await server.job_control.describe(caller, project, job, description.labels, description.notes))


@router.delete("/{job}", dependencies=WRITE, status_code=204)
async def delete_job(job: str, caller: CallerHere, project: ProjectHere, server: ServerHere) -> None:
    """Delete an ended job with its logs, metrics and artifacts. Its name becomes free; its idempotency key stays in
    use.

    For a damaged job the key becomes free as well.
    """
    await server.job_control.delete(caller, project, job)


@router.get("/{job}/attempts", dependencies=READ)
async def list_attempts(job: str, caller: CallerHere, project: ProjectHere, server: ServerHere) -> list[AttemptView]:
    """All attempts of the job, oldest first."""
    found = await server.metrics.attempts(caller, project, job)
    return [AttemptView(**{**attempt.__dict__, "repeats_steps": repeated}) for attempt, repeated in found]


@router.get("/{job}/goodput", dependencies=READ)
async def get_job_goodput(job: str, caller: CallerHere, project: ProjectHere, server: ServerHere) -> Goodput:
    """How the job has spent its time so far."""
    return await server.goodputs.of_job(caller, project, job)


@router.get(
    "/{job}/follow", dependencies=READ, response_class=StreamingResponse, responses=stream_answer("FollowFrame")
)
async def follow_job(
    job: str,
    request: Request,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    include: Annotated[str, Query(description="Which of events, logs, metrics and samples.")] = "events,logs,metrics",
    cursor: Annotated[str | None, Query(description="Opaque: the `id` of a frame to continue behind.")] = None,
) -> Response:
    """All events, logs and metrics of the job, until it has ended. Continues after `Last-Event-ID`."""
    kinds: set[StreamKind] = set()
    for word in include.split(","):
        match word.strip():
            case "events" | "logs" | "metrics" | "samples" as kind:
                kinds.add(kind)
            case other:
                raise InvalidInput(f"{other!r} cannot be followed. Choose from events, logs, metrics and samples.")
    return event_stream(await server.following.follow(caller, project, job, start_cursor(request, cursor), kinds))
