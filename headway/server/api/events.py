"""What happens to all jobs, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from headway.core.job import Job
from headway.core.job_query import JobQuery
from headway.errors import NotFound, Overloaded
from headway.server.access import Action
from headway.server.api.common import STREAM, Allow, ServerHere
from headway.server.api.jobs import JobView, view
from headway.server.server import Server

router = APIRouter(tags=["events"])
_SNAPSHOT_JOBS = 200
_KEEP_ALIVE_SECONDS = 15.0
_OVERLOADED_SECONDS = 1.0


@router.get(
    "/events", dependencies=[Depends(Allow(Action.JOBS_READ))], response_class=StreamingResponse, responses=STREAM
)
async def all_events(server: ServerHere) -> StreamingResponse:
    """The newest jobs, then `ready`, then each job whenever it changes: `job` with its data, or `deleted` with its id.

    After a lost connection the whole begins anew, so that nothing that changed meanwhile is missed.
    """
    server.watchers.check_room()
    return StreamingResponse(
        _watch(server), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


async def _watch(server: Server) -> AsyncIterator[str]:
    with server.watchers.watching() as watcher:
        for job in reversed(await _newest(server)):
            yield _format("job", view(job))
        yield "event: ready\ndata: {}\n\n"
        while not server.watchers.closed:
            changed = await watcher.take(_KEEP_ALIVE_SECONDS)
            if not changed and not server.watchers.closed:
                yield ": still here\n\n"
            for job_id in changed:
                try:
                    yield _format("job", view(await server.jobs.find(job_id)))
                except Overloaded:
                    watcher.add(job_id)
                    await asyncio.sleep(_OVERLOADED_SECONDS)
                except NotFound:
                    yield f'event: deleted\ndata: {{"id": "{job_id}"}}\n\n'


async def _newest(server: Server) -> list[Job]:
    while True:
        try:
            return await server.jobs.list(JobQuery(limit=_SNAPSHOT_JOBS))
        except Overloaded:
            await asyncio.sleep(_OVERLOADED_SECONDS)


def _format(event: str, job: JobView) -> str:
    return f"event: {event}\ndata: {job.model_dump_json()}\n\n"
