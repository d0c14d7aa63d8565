"""Events, logs and metrics of a job: a page, or with `Accept: text/event-stream` for as long as it lives."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from headway.core.attempt import LARGEST_NUMBER
from headway.core.json_value import LARGEST_INTEGER
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.event_streams import STREAM, event_stream, read_page, start_cursor, wants_stream
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.services.metrics import MetricsQuery

router = guarded_router(prefix="/jobs/{job}", tags=["streams"], dependencies=[Depends(Allow(Action.JOBS_READ))])
Step = Annotated[int, Query(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
_CURSOR = Query(description="Goes on behind this place.")


@router.get("/events", responses=STREAM)
async def events(
    job: str,
    request: Request,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    cursor: Annotated[str | None, _CURSOR] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """The job's events, by number."""
    start = start_cursor(request, cursor)
    if wants_stream(request):
        return event_stream(await server.streams.follow(caller, project, job, start, {"events"}))
    found = await server.streams.read(caller, project, job, start, {"events"})
    items, behind = await read_page(request, found, start, limit)
    return JSONResponse({"events": [item.data for item in items], "cursor": behind})


@router.get("/logs", responses=STREAM)
async def logs(
    job: str,
    request: Request,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    cursor: Annotated[str | None, _CURSOR] = None,
    batches: Annotated[
        int, Query(ge=1, le=1000, description="Reports to read at most. A large page ends earlier.")
    ] = 200,
) -> Response:
    """Log lines of all attempts, by worker in the order they were printed. An empty page is the end for now.

    `repeated` marks what an attempt printed behind the checkpoint from which a later one went on; `partial` a line
    that has no end yet, such as a bar, as it was drawn last. The rank's next line takes its place.
    """
    start = start_cursor(request, cursor)
    if wants_stream(request):
        return event_stream(await server.streams.follow(caller, project, job, start, {"logs"}))
    found = await server.streams.read(caller, project, job, start, {"logs"})
    items, behind = await read_page(request, found, start, batches)
    lines: list[dict[str, Any]] = [
        {"attempt": item.data["attempt"], "worker": item.data["worker"], **line}
        for item in items
        for line in item.data["lines"]
    ]
    return JSONResponse({"lines": lines, "cursor": behind})


@router.get("/metrics", responses=STREAM)
async def metrics(
    job: str,
    request: Request,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    name: Annotated[
        list[str] | None,
        Query(max_length=500, description="Only these series; may be repeated. Samples (system/...) have to be named."),
    ] = None,
    attempt: Annotated[
        int | None, Query(ge=1, le=LARGEST_NUMBER, description="All, as one line, if not given.")
    ] = None,
    first_step: Step | None = None,
    last_step: Step | None = None,
    points: Annotated[int, Query(ge=2, le=100_000, description="Points per series at most.")] = 1000,
) -> Response:
    """Metric series. Where there are more points than asked for, each bucket gives its least and its greatest.

    All series of an answer have 200,000 points at most: where they would have more, the long ones are thinned further,
    to the `points` that the answer says. `count` is how many there are. An answer holds 50,000 series; name those of
    a job that has more.

    Without `attempt` each series goes on over attempts, and points of steps that a later attempt repeated are left
    out and counted in `repeated_points`, for the series of the answer; with it they are all there.
    """
    if wants_stream(request):
        start = start_cursor(request, None)
        return event_stream(await server.streams.follow(caller, project, job, start, {"metrics"}))
    query = MetricsQuery(attempt, name or (), first_step, last_step, points)
    found = await server.metrics.read(caller, project, job, query)
    return JSONResponse(found)
