"""Checkpoints: listed and downloaded by users; stored and read for ranks by their workers."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from headway.core.checkpoint import CheckpointPart, PartKind
from headway.core.job import Job
from headway.server.access import Action
from headway.server.api.common import Allow, AttemptNumber, JobHere, ServerHere
from headway.server.api.files import FILE, RangeHeader, send_file
from headway.server.server import Server

router = APIRouter(prefix="/jobs/{job}", tags=["checkpoints"])
READ_BYTES = [Depends(Allow(Action.CHECKPOINTS_READ))]
STORE = [Depends(Allow(Action.ARTIFACTS_WRITE, maximum_body_bytes=None))]
READ = [Depends(Allow(Action.JOBS_READ))]
Step = Annotated[int, Path(ge=0, le=2**53)]
Rank = Annotated[int, Path(ge=0, lt=10_000)]


class CheckpointView(BaseModel):
    """A checkpoint as users see it; `complete`: every rank's part is stored, so that an attempt can start from it.

    `job` names the job that it was made by, if it is another. `users`: jobs that started from it and still need it.
    `at`: when it was committed, in seconds since the epoch; null while it is being saved.
    """

    step: int
    attempt: int
    complete: bool
    parts_stored: int
    world_size: int
    kind: PartKind
    at: float | None
    size_bytes: int
    metrics: dict[str, float]
    job: str | None
    users: tuple[str, ...]


@router.get("/checkpoints", dependencies=READ)
async def list_checkpoints(job: JobHere) -> list[CheckpointView]:
    """The checkpoints that are kept, oldest first, then those being saved. The next attempt starts from the newest
    complete one."""
    return checkpoint_views(job)


def checkpoint_views(job: Job) -> list[CheckpointView]:
    """All checkpoints of a job as users see them."""
    views = [
        CheckpointView(
            step=one.step,
            attempt=one.attempt,
            complete=True,
            parts_stored=1 if one.kind is PartKind.FILES else one.world_size,
            world_size=one.world_size,
            kind=one.kind,
            at=one.at,
            size_bytes=one.size_bytes,
            metrics=one.metrics,
            job=one.job,
            users=tuple(sorted(one.users)),
        )
        for one in job.checkpoints
    ]
    attempt = job.attempt
    for step, saving in sorted(attempt.saving.items()) if attempt is not None and attempt.ended_at is None else ():
        views.append(
            CheckpointView(
                step=step,
                attempt=job.attempt_number,
                complete=False,
                parts_stored=len(saving.ranks),
                world_size=attempt.world_size if attempt else 0,
                kind=PartKind.STATE,
                at=None,
                size_bytes=saving.size_bytes,
                metrics=saving.metrics,
                job=None,
                users=(),
            )
        )
    return views


@router.get("/checkpoints/{step}", dependencies=READ)
async def list_parts(job: JobHere, step: Step, server: ServerHere) -> list[CheckpointPart]:
    """The parts of the complete checkpoint of a step, by rank."""
    parts = await server.checkpoints.parts(job, server.checkpoints.find(job, step))
    return [part for _, part in sorted(parts.items())]


@router.get("/checkpoints/{step}/{rank}", dependencies=READ, response_class=StreamingResponse, responses=FILE)
async def download_part(
    job: JobHere, step: Step, rank: Rank, server: ServerHere, byte_range: RangeHeader = None
) -> Response:
    """What a rank saved at a step: a file for torch.load, or, of kind files or shards, a tar archive."""
    checkpoint = server.checkpoints.find(job, step)
    part = await server.checkpoints.part(job, checkpoint.attempt, step, rank)
    return _send(part, server, byte_range)


@router.put("/attempts/{attempt}/checkpoints/{step}/{rank}", dependencies=STORE, status_code=204)
async def store_part(
    job: JobHere,
    attempt: AttemptNumber,
    step: Step,
    rank: Rank,
    request: Request,
    server: ServerHere,
    kind: PartKind = PartKind.STATE,
    replica: Annotated[bool, Query(description="The rank's state is rank 0's.")] = False,
    format: Annotated[int, Query(ge=1, le=1000)] = 1,
) -> None:
    """Store what a rank of the current attempt saved at a step."""
    await server.checkpoints.store(
        job.id, attempt, step, rank, request.stream(), kind=kind, replica=replica, format=format
    )


@router.get(
    "/attempts/{attempt}/checkpoints/{from_attempt}/{step}/{rank}",
    dependencies=READ_BYTES,
    response_class=StreamingResponse,
    responses=FILE,
)
async def read_part(
    job: JobHere,
    attempt: AttemptNumber,
    from_attempt: AttemptNumber,
    step: Step,
    rank: Rank,
    server: ServerHere,
    source: Annotated[str | None, Query(max_length=40, description="The job that this one was forked from.")] = None,
) -> Response:
    """What a rank saved in an earlier attempt, or in the job that this one was forked from, to start from."""
    return _send(await server.checkpoints.part(job, from_attempt, step, rank, source), server)


def _send(part: CheckpointPart, server: Server, byte_range: str | None = None) -> Response:
    return send_file(
        lambda start, end: server.checkpoints.read(part, start, end),
        name=f"step-{part.step}-rank-{part.rank}",
        size_bytes=part.size_bytes,
        sha256=part.sha256,
        byte_range=byte_range,
    )
