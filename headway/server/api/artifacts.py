"""Artifacts: listed and downloaded by users, stored by ranks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse

from headway.core.artifact import ARTIFACT_NAME_PATTERN, Artifact
from headway.server.access import Action
from headway.server.api.common import Allow, JobHere, ServerHere

router = APIRouter(prefix="/jobs/{job}", tags=["artifacts"])
READ = [Depends(Allow(Action.JOBS_READ))]


@router.get("/artifacts", dependencies=READ)
async def list_artifacts(job: JobHere) -> list[Artifact]:
    """The files that the job has made."""
    return list(job.artifacts)


@router.get("/artifacts/{name}", dependencies=READ, response_class=StreamingResponse)
async def download(name: str, job: JobHere, server: ServerHere) -> Response:
    """One file. `ETag` is the SHA-256 of its bytes."""
    artifact = server.artifacts.find(job, name)
    headers = {
        "ETag": f'"{artifact.sha256}"',
        "Content-Length": str(artifact.size_bytes),
        "Content-Disposition": f'attachment; filename="{artifact.name}"',
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(
        server.artifacts.read(artifact), media_type="application/octet-stream", headers=headers
    )  # fmt: skip


@router.put(
    "/attempts/{attempt}/artifacts/{name}", dependencies=[Depends(Allow(Action.ARTIFACTS_WRITE))], status_code=201
)
async def store(
    job: JobHere,
    attempt: Annotated[int, Path(ge=1)],
    name: Annotated[str, Path(pattern=ARTIFACT_NAME_PATTERN)],
    request: Request,
    server: ServerHere,
) -> Artifact:
    """Store a file of the current attempt, with the rank's token. It is the job's once its worker reports it."""
    return await server.artifacts.store(job.id, attempt, name, request.stream())
