"""What happens to all jobs, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.responses import StreamingResponse

from headway.core.job import Job
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.event_streams import stream_of
from headway.server.api.frames import DeletedFrame, JobFrame, ReadyFrame, stream_answer
from headway.server.api.job_views import job_row
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.server import Server
from headway.server.services.job_feed import Render
from headway.server.services.live_job import Frame, as_events

router = guarded_router(tags=["events"])


@router.get(
    "/events",
    dependencies=[Depends(Allow(Action.JOBS_READ))],
    response_class=StreamingResponse,
    responses=stream_answer("JobsFrame"),
)
async def watch_jobs(
    request: Request,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    cursor: Annotated[str | None, Query(max_length=100, description="Opaque: the `id` of a frame.")] = None,
) -> StreamingResponse:
    """All jobs, newest first, then `ready`, then each job whenever it changes: `job` as it is then, or `deleted`.

    `Last-Event-ID`, or `cursor`, continues after a frame: only what has changed since is sent. A server that does not
    know it any more, such as another one, begins with all jobs again.
    """
    place = request.headers.get("last-event-id") or cursor
    return stream_of(_events(server.job_feed.watch(caller, project, place, renderer(server))))


def renderer(server: Server) -> Render:
    """Makes the JSON of the frames of all jobs."""

    def render(subject: Job | str | None) -> bytes:
        frame: JobFrame | DeletedFrame | ReadyFrame
        match subject:
            case Job():
                frame = JobFrame(kind="job", job=job_row(subject, server.telemetry.progress(subject)))
            case str():
                frame = DeletedFrame(kind="deleted", id=subject)
            case None:
                frame = ReadyFrame(kind="ready")
        return frame.model_dump_json().encode()

    return render


async def _events(feed: AsyncIterator[list[Frame] | None]) -> AsyncIterator[bytes]:
    async for frames in feed:
        yield b": still here\n\n" if frames is None else as_events(frames)
