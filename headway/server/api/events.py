"""What happens to all jobs, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Depends
from fastapi.responses import StreamingResponse

from headway.core.job import Job
from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.event_streams import stream_of
from headway.server.api.frames import DeletedFrame, JobFrame, ReadyFrame, stream_answer
from headway.server.api.job_views import job_view
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.server import Server
from headway.server.services.job_feed import Deleted, Ready

router = guarded_router(tags=["events"])


@router.get(
    "/events",
    dependencies=[Depends(Allow(Action.JOBS_READ))],
    response_class=StreamingResponse,
    responses=stream_answer("JobsFrame"),
)
async def watch_jobs(caller: CallerHere, project: ProjectHere, server: ServerHere) -> StreamingResponse:
    """The newest jobs, then `ready`, then each job whenever it changes: `job` as it is then, or `deleted` with its id.

    After a lost connection the whole stream starts again, so that the client misses no change.
    """
    return stream_of(_frames(server, server.job_feed.watch(caller, project)))


async def _frames(server: Server, feed: AsyncIterator[Job | Deleted | Ready | None]) -> AsyncIterator[str]:
    async for one in feed:
        match one:
            case Job():
                yield _frame(JobFrame(kind="job", job=job_view(one, progress=server.telemetry.progress(one))))
            case Deleted():
                yield _frame(DeletedFrame(kind="deleted", id=one.id))
            case Ready():
                yield _frame(ReadyFrame(kind="ready"))
            case None:
                yield ": still here\n\n"


def _frame(frame: JobFrame | DeletedFrame | ReadyFrame) -> str:
    return f"event: {frame.kind}\ndata: {frame.model_dump_json()}\n\n"
