"""Events, logs and metrics of a job: one page, or with `Accept: text/event-stream` all until the job has ended."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AllowInfNan

from headway.core.attempt import LARGEST_NUMBER
from headway.core.json_value import LARGEST_INTEGER
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.event_streams import event_stream, read_page, start_cursor, wants_stream
from headway.server.api.frames import EventPage, FoundLogPage, LogPage, MetricsAnswer, page_answer
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.services.log_search import LogSearch
from headway.server.services.metrics import MetricsQuery

router = guarded_router(prefix="/jobs/{job}", tags=["streams"], dependencies=[Depends(Allow(Action.JOBS_READ))])
Moment = Annotated[float, AllowInfNan(False)]
Step = Annotated[int, Query(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
_CURSOR = Query(description="Opaque: the `cursor` of a page, or the `id` of a frame. The answer continues after it.")


@router.get("/events", responses=page_answer(EventPage))
async def list_events(
    job: str,
    request: Request,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    cursor: Annotated[str | None, _CURSOR] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """The job's events, in the order of their numbers."""
    start = start_cursor(request, cursor)
    if wants_stream(request):
        return event_stream(await server.following.follow(caller, project, job, start, {"events"}))
    found = await server.streams.read(caller, project, job, start, {"events"})
    items, behind = await read_page(request, found, start, limit)
    return JSONResponse({"events": [item.data for item in items], "cursor": behind})


@router.get("/logs", responses=page_answer(LogPage))
async def read_logs(
    job: str,
    request: Request,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    cursor: Annotated[str | None, _CURSOR] = None,
    batches: Annotated[
        int, Query(ge=1, le=1000, description="The most reports to read. A page ends earlier if it becomes large.")
    ] = 200,
) -> Response:
    """Log lines of all attempts: per worker, in the order in which they were printed. An empty page means: no more yet.

    `repeated` marks lines that an attempt printed after the checkpoint where a later attempt continued. `partial` marks
    a line without an end, such as a progress bar, as it was drawn last. The rank's next line replaces it.
    """
    start = start_cursor(request, cursor)
    if wants_stream(request):
        return event_stream(await server.following.follow(caller, project, job, start, {"logs"}))
    found = await server.streams.read(caller, project, job, start, {"logs"})
    items, behind = await read_page(request, found, start, batches)
    lines: list[dict[str, Any]] = [
        {"attempt": item.data["attempt"], "worker": item.data["worker"], **line}
        for item in items
        for line in item.data["lines"]
    ]
    return JSONResponse({"lines": lines, "cursor": behind})


@router.get("/logs/search", responses={200: {"model": FoundLogPage}})
async def search_logs(
    job: str,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    text: Annotated[str, Query(max_length=1000, description="Only lines that contain this.")] = "",
    rank: Annotated[int | None, Query(ge=-1, le=LARGEST_INTEGER, description="Only lines of this rank.")] = None,
    attempt: Annotated[int | None, Query(ge=1, le=LARGEST_NUMBER, description="Only lines of this attempt.")] = None,
    since: Annotated[Moment | None, Query(description="Only lines from then on, in seconds since the epoch.")] = None,
    until: Annotated[Moment | None, Query(description="Only lines before then, in seconds since the epoch.")] = None,
    cursor: Annotated[str | None, Query(description="Opaque: `cursor` of the page behind the wanted one.")] = None,
    lines: Annotated[int, Query(ge=1, le=10_000, description="A page has whole reports: a few lines more.")] = 1000,
) -> Response:
    """Log lines backwards from the end: the last page first, each page in the order in which its lines were printed.

    A page may have few lines, or none, though there are more before it: one reads a bounded part of the log. Continue
    until `cursor` is null.
    """
    search = LogSearch(rank, attempt, since, until, text)
    found = await server.log_searches.page(caller, project, job, search, cursor, lines)
    return JSONResponse(found._asdict())


@router.get("/metrics", responses=page_answer(MetricsAnswer))
async def read_metrics(
    job: str,
    request: Request,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    name: Annotated[
        list[str] | None,
        Query(max_length=500, description="Only these series; may be repeated. Samples (system/...) must be named."),
    ] = None,
    attempt: Annotated[
        int | None, Query(ge=1, le=LARGEST_NUMBER, description="Only this attempt. Without it: all attempts, joined.")
    ] = None,
    first_step: Step | None = None,
    last_step: Step | None = None,
    points: Annotated[int, Query(ge=2, le=100_000, description="The most points per series.")] = 1000,
) -> Response:
    """Metric series. A series with more points than requested is thinned to the minimum and maximum of each bucket.

    All series of an answer together have at most 200,000 points. If they would have more, the long ones are thinned
    further, to the `points` in the answer. `count` is the number of points before thinning. An answer holds at most
    50,000 series; name the series that you want if a job has more.

    Without `attempt`, each series continues over all attempts. Points of steps that a later attempt repeated are left
    out; `repeated_points` counts them for the series of the answer. With `attempt`, no point is left out.
    """
    if wants_stream(request):
        start = start_cursor(request, None)
        return event_stream(await server.following.follow(caller, project, job, start, {"metrics"}))
    query = MetricsQuery(attempt, name or (), first_step, last_step, points)
    found = await server.metrics.read(caller, project, job, query)
    return JSONResponse(found)
