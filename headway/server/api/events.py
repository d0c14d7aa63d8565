"""What happens to all jobs, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.responses import StreamingResponse

from headway.core.job import Job
from headway.core.waiting import QueuePlaces
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.event_streams import stream_of
from headway.server.api.frames import DeletedFrame, JobFrame, ReadyFrame, stream_answer
from headway.server.api.job_rows import job_row
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.server import Server
from headway.server.services.job_feed import Render
from headway.server.services.live_job import Frame, as_events

router = guarded_router(tags=["events"])
_PLACES_SECONDS = 0.25


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
    queue = _FreshPlaces(server)

    def render(subject: Job | str | None) -> bytes:
        frame: JobFrame | DeletedFrame | ReadyFrame
        match subject:
            case Job():
                row = job_row(server.rows.of(subject, queue.of(subject.project)))
                frame = JobFrame.model_construct(kind="job", job=row)
            case str():
                frame = DeletedFrame(kind="deleted", id=subject)
            case None:
                frame = ReadyFrame(kind="ready")
        return frame.model_dump_json().encode()

    return render


class _FreshPlaces:
    """The queue's places, computed again after a moment: many jobs are rendered at once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._until = float("-inf")
        self._project = ""

    def of(self, project: str) -> QueuePlaces:
        now = self._server.clock.monotonic()
        if now >= self._until or project != self._project:
            self._project, self._until = project, now + _PLACES_SECONDS
            self._places = self._server.rows.places(project)
        return self._places


async def _events(feed: AsyncIterator[list[Frame] | None]) -> AsyncIterator[bytes]:
    async for frames in feed:
        yield b": still here\n\n" if frames is None else as_events(frames)
