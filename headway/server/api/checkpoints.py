"""Checkpoints: users list and download them; workers store and read them for ranks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from headway.core.checkpoint import CheckpointPart
from headway.rank_protocol.checkpoint_parts import PartKind
from headway.server.access import Action
from headway.server.api.common import AttemptNumber, CallerHere, ServerHere
from headway.server.api.files import FILE, RangeHeader, send_file
from headway.server.api.job_views import CheckpointView, checkpoint_views
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router
from headway.server.services.checkpoints import PartKey, SavedPart

router = guarded_router(prefix="/jobs/{job}", tags=["checkpoints"])
READ_BYTES = [Depends(Allow(Action.CHECKPOINTS_READ))]
STORE = [Depends(Allow(Action.ARTIFACTS_WRITE, maximum_body_bytes=None))]
READ = [Depends(Allow(Action.JOBS_READ))]
Step = Annotated[int, Path(ge=0, le=2**53)]
Rank = Annotated[int, Path(ge=0, lt=10_000)]


@router.get("/checkpoints", dependencies=READ)
async def list_checkpoints(
    job: str, caller: CallerHere, project: ProjectHere, server: ServerHere
) -> list[CheckpointView]:
    """The kept checkpoints, oldest first, then those being saved. An attempt starts from the newest complete one."""
    return checkpoint_views(await server.jobs.get(caller, project, job))


@router.get("/checkpoints/{step}", dependencies=READ)
async def list_checkpoint_parts(
    job: str, step: Step, caller: CallerHere, project: ProjectHere, server: ServerHere
) -> list[CheckpointPart]:
    """The parts of the complete checkpoint of a step, by rank."""
    return await server.checkpoints.list_parts(caller, project, job, step)


@router.get("/checkpoints/{step}/{rank}", dependencies=READ_BYTES, response_class=StreamingResponse, responses=FILE)
async def download_checkpoint_part(
    job: str,
    step: Step,
    rank: Rank,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    byte_range: RangeHeader = None,
) -> Response:
    """What a rank saved at a step: a file for torch.load, or a tar archive for the kinds `files` and `shards`."""
    return send_file(await server.checkpoints.open_part(caller, project, job, step, rank), byte_range)


@router.put("/attempts/{attempt}/checkpoints/{step}/{rank}", dependencies=STORE, status_code=204)
async def store_checkpoint_part(
    job: str,
    attempt: AttemptNumber,
    step: Step,
    rank: Rank,
    request: Request,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    kind: PartKind = PartKind.STATE,
    replica: Annotated[bool, Query(description="The rank's state is the same as rank 0's.")] = False,
    format: Annotated[int, Query(ge=1, le=1000)] = 1,
) -> None:
    """Store what a rank of the current attempt saved at a step."""
    saved = SavedPart(step, rank, kind, replica, format)
    await server.checkpoints.store(caller, project, job, attempt, saved, request.stream())


@router.get(
    "/attempts/{attempt}/checkpoints/{from_attempt}/{step}/{rank}",
    dependencies=READ_BYTES,
    response_class=StreamingResponse,
    responses=FILE,
)
async def read_checkpoint_part(
    job: str,
    attempt: AttemptNumber,
    from_attempt: AttemptNumber,
    step: Step,
    rank: Rank,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    source: Annotated[str | None, Query(max_length=40, description="The job that this one was forked from.")] = None,
) -> Response:
    """What a rank saved in an earlier attempt, or in the job that this one was forked from."""
    key = PartKey(from_attempt, step, rank, source)
    return send_file(await server.checkpoints.open_part_to_restore(caller, project, job, attempt, key))
