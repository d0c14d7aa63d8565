"""Checkpoints: listed by users; stored and read for ranks by their workers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse

from headway.core.checkpoint import Checkpoint
from headway.server.access import Action
from headway.server.api.common import Allow, JobHere, ServerHere

router = APIRouter(prefix="/jobs/{job}", tags=["checkpoints"])
AS_RANK = [Depends(Allow(Action.ARTIFACTS_WRITE))]
Step = Annotated[int, Path(ge=0, le=2**53)]
Rank = Annotated[int, Path(ge=0, lt=10_000)]
AttemptNumber = Annotated[int, Path(ge=1)]


@router.get("/checkpoints", dependencies=[Depends(Allow(Action.JOBS_READ))])
async def list_checkpoints(job: JobHere) -> list[Checkpoint]:
    """The complete checkpoints that are kept, oldest first. The next attempt starts from the last."""
    return list(job.checkpoints)


@router.put("/attempts/{attempt}/checkpoints/{step}/{rank}", dependencies=AS_RANK, status_code=204)
async def store_part(
    job: JobHere, attempt: AttemptNumber, step: Step, rank: Rank, request: Request, server: ServerHere
) -> None:
    """Store what a rank of the current attempt saved at a step."""
    await server.checkpoints.store(job.id, attempt, step, rank, request.stream())


@router.get(
    "/attempts/{attempt}/checkpoints/{from_attempt}/{step}/{rank}",
    dependencies=AS_RANK,
    response_class=StreamingResponse,
)
async def read_part(
    job: JobHere, attempt: AttemptNumber, from_attempt: AttemptNumber, step: Step, rank: Rank, server: ServerHere
) -> Response:
    """What a rank saved in an earlier attempt, for the current one to start from."""
    part, content = await server.checkpoints.read(job, from_attempt, step, rank)
    headers = {"Content-Length": str(part.size_bytes), "ETag": f'"{part.sha256}"'}
    return StreamingResponse(content, media_type="application/octet-stream", headers=headers)
