"""What happens to all jobs, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Depends
from fastapi.responses import StreamingResponse

from headway.core.job import Job
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.event_streams import STREAM, stream_of
from headway.server.api.job_views import job_view
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.server import Server
from headway.server.services.job_feed import Deleted, Ready

router = guarded_router(tags=["events"])


@router.get(
    "/events", dependencies=[Depends(Allow(Action.JOBS_READ))], response_class=StreamingResponse, responses=STREAM
)
async def all_events(caller: CallerHere, project: ProjectHere, server: ServerHere) -> StreamingResponse:
    """The newest jobs, then `ready`, then each job whenever it changes: `job` with its data, or `deleted` with its id.

    After a lost connection the whole stream starts again, so that the client misses no change.
    """
    return stream_of(_frames(server, server.job_feed.watch(caller, project)))


async def _frames(server: Server, feed: AsyncIterator[Job | Deleted | Ready | None]) -> AsyncIterator[str]:
    async for one in feed:
        match one:
            case Job():
                view = job_view(one, progress=server.telemetry.progress(one))
                yield f"event: job\ndata: {view.model_dump_json()}\n\n"
            case Deleted():
                yield f'event: deleted\ndata: {{"id": "{one.id}"}}\n\n'
            case Ready():
                yield "event: ready\ndata: {}\n\n"
            case None:
                yield ": still here\n\n"
