"""Artifacts: users list and download them; workers store them for ranks."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Request, Response
from fastapi.responses import StreamingResponse

from headway.core.artifact import ARTIFACT_NAME_PATTERN, MAXIMUM_NAME_CHARACTERS, Artifact
from headway.server.access import Action
from headway.server.api.common import AttemptNumber, CallerHere, ServerHere
from headway.server.api.files import FILE, RangeHeader, send_file
from headway.server.api.project import ProjectHere
from headway.server.api.routes import Allow, guarded_router

router = guarded_router(prefix="/jobs/{job}", tags=["artifacts"])
READ = [Depends(Allow(Action.JOBS_READ))]


@router.get("/artifacts", dependencies=READ)
async def list_artifacts(job: str, caller: CallerHere, project: ProjectHere, server: ServerHere) -> list[Artifact]:
    """The files that the job has stored."""
    return list((await server.jobs.get(caller, project, job)).artifacts)


@router.get(
    "/artifacts/{name:path}",
    dependencies=READ,
    response_class=StreamingResponse,
    responses={**FILE, 304: {"description": "The client has this file: its `If-None-Match` names the hash."}},
)
async def download_artifact(
    name: str,
    job: str,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
    byte_range: RangeHeader = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """One file. `ETag` is the SHA-256 of its bytes. With `Range`, an interrupted download can continue."""
    file = await server.artifacts.open(caller, project, job, name)
    etag = f'"{file.sha256}"'
    if if_none_match is not None and (if_none_match.strip() == "*" or etag in if_none_match):
        return Response(status_code=304, headers={"ETag": etag})
    return send_file(file, byte_range)


@router.put(
    "/attempts/{attempt}/artifacts/{name:path}",
    dependencies=[Depends(Allow(Action.ARTIFACTS_WRITE, maximum_body_bytes=None))],
    status_code=201,
)
async def store_artifact(
    job: str,
    attempt: AttemptNumber,
    name: Annotated[str, Path(pattern=ARTIFACT_NAME_PATTERN, max_length=MAXIMUM_NAME_CHARACTERS)],
    request: Request,
    caller: CallerHere,
    project: ProjectHere,
    server: ServerHere,
) -> Artifact:
    """Store a file of the current attempt. The job has it once its worker reports it."""
    return await server.artifacts.store(caller, project, job, attempt, name, request.stream())
