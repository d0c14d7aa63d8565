"""Snapshots of working directories: users send them, workers fetch them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Request, Response
from fastapi.responses import StreamingResponse

from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere
from headway.server.api.files import ARCHIVE
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router

router = guarded_router(prefix="/snapshots", tags=["snapshots"])
Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the archive's bytes.")]


@router.put(
    "/{sha256}", dependencies=[Depends(Allow(Action.SNAPSHOTS_WRITE, maximum_body_bytes=None))], status_code=201
)
async def store_snapshot(
    sha256: Sha256, request: Request, caller: CallerHere, project: ProjectHere, server: ServerHere
) -> dict[str, str]:
    """Store a working directory: a tar archive packed with zstd. Sending it again changes nothing."""
    await server.snapshots.store(caller, project, sha256, request.stream())
    return {"sha256": sha256}


@router.head("/{sha256}", dependencies=[Depends(Allow(Action.SNAPSHOTS_READ))], response_class=Response)
async def has_snapshot(sha256: Sha256, caller: CallerHere, project: ProjectHere, server: ServerHere) -> Response:
    """Whether the project has the archive; 404 otherwise."""
    archive = await server.snapshots.open(caller, project, sha256)
    return Response(headers={"Content-Length": str(archive.size_bytes)})


@router.get(
    "/{sha256}",
    dependencies=[Depends(Allow(Action.SNAPSHOTS_READ))],
    response_class=StreamingResponse,
    responses=ARCHIVE,
)
async def get_snapshot(sha256: Sha256, caller: CallerHere, project: ProjectHere, server: ServerHere) -> Response:
    """The archive. A worker gets it only while it has claimed a job that uses it."""
    archive = await server.snapshots.open(caller, project, sha256)
    headers = {"Content-Length": str(archive.size_bytes), "ETag": f'"{sha256}"'}
    return StreamingResponse(archive.read(0, archive.size_bytes), media_type="application/zstd", headers=headers)
