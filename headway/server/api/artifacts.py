"""Artifacts: listed and downloaded by users, stored for ranks by their workers."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from fastapi.responses import StreamingResponse

from headway.core.artifact import ARTIFACT_NAME_PATTERN, MAXIMUM_NAME_CHARACTERS, Artifact
from headway.errors import RangeInvalid
from headway.server.access import Action
from headway.server.api.common import Allow, JobHere, ServerHere

router = APIRouter(prefix="/jobs/{job}", tags=["artifacts"])
READ = [Depends(Allow(Action.JOBS_READ))]


@router.get("/artifacts", dependencies=READ)
async def list_artifacts(job: JobHere) -> list[Artifact]:
    """The files that the job has made."""
    return list(job.artifacts)


@router.get("/artifacts/{name:path}", dependencies=READ, response_class=StreamingResponse)
async def download(
    name: str,
    job: JobHere,
    server: ServerHere,
    byte_range: Annotated[str | None, Header(alias="Range", description="`bytes=FIRST-LAST`: a part only.")] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """One file. `ETag` is the SHA-256 of its bytes; `Range` gives a part, so that a download can go on."""
    artifact = server.artifacts.find(job, name)
    etag = f'"{artifact.sha256}"'
    if if_none_match is not None and etag in if_none_match:
        return Response(status_code=304, headers={"ETag": etag})
    start, end = parse_range(byte_range, artifact.size_bytes)
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Length": str(end - start),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(artifact.name.rpartition('/')[2])}",
        "X-Content-Type-Options": "nosniff",
    }
    partial = (start, end) != (0, artifact.size_bytes)
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{artifact.size_bytes}"
    return StreamingResponse(
        server.artifacts.read(artifact, start, end),
        status_code=206 if partial else 200,
        media_type="application/octet-stream",
        headers=headers,
    )


def parse_range(header: str | None, size_bytes: int) -> tuple[int, int]:
    """The half-open range that a Range header asks for; all of it if there is none, or one that we need not know.

    RFC 9110, section 14. Raises RangeInvalid when it begins behind the end.
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").strip())
    if match is None or match.groups() == ("", ""):
        return 0, size_bytes
    first, last = match.groups()
    if not first:
        return max(0, size_bytes - int(last)), size_bytes
    start = int(first)
    end = min(int(last) + 1, size_bytes) if last else size_bytes
    if start >= size_bytes or end <= start:
        raise RangeInvalid(f"The file has {size_bytes:,} bytes; {header} is not a part of it.")
    return start, end


@router.put(
    "/attempts/{attempt}/artifacts/{name:path}",
    dependencies=[Depends(Allow(Action.ARTIFACTS_WRITE))],
    status_code=201,
)
async def store(
    job: JobHere,
    attempt: Annotated[int, Path(ge=1)],
    name: Annotated[str, Path(pattern=ARTIFACT_NAME_PATTERN, max_length=MAXIMUM_NAME_CHARACTERS)],
    request: Request,
    server: ServerHere,
) -> Artifact:
    """Store a file of the current attempt. It is the job's once its worker reports it."""
    return await server.artifacts.store(job.id, attempt, name, request.stream())
