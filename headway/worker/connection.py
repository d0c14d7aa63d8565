"""The worker's HTTP requests to the server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from headway import __version__
from headway.core.artifact import Artifact
from headway.core.checkpoint import CheckpointPart
from headway.core.protocol import (
    Claim,
    Claimed,
    Heartbeat,
    HeartbeatAnswer,
    InquiryAnswer,
    JobIds,
    Registered,
    Registration,
)
from headway.errors import AnswerUnreadable, HeadwayError, Unavailable, error_from_answer
from headway.object_links import store_away, store_refused
from headway.rank_protocol.checkpoint_parts import CHECKPOINT_FORMAT, PartKind
from headway.worker.regular_files import open_file

_TIMEOUT_SECONDS = 5.0
_UPLOAD_TIMEOUT_SECONDS = 60.0
_BLOCK_SECONDS = 600.0
"""The time limit for a whole block, also on a slow network."""
_CHUNK_BYTES = 1 << 20
_Answer = TypeVar("_Answer", bound=BaseModel)


class Connection:
    """Its methods raise Unavailable when no server answers, and otherwise the error that the server names.

    A server may be newer than its workers: unknown fields in its answers are ignored.
    """

    def __init__(self, server_urls: str) -> None:
        """`server_urls`: the URL of one server, or of several on one database, separated by commas."""
        self._server_urls = [url.strip().rstrip("/") for url in server_urls.split(",")]
        self._http = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False)
        self._use(self._server_urls[0])
        self._token = ""
        self._worker = ""

    def _use(self, server_url: str) -> None:
        self.server_url = server_url
        self._http.base_url = httpx.URL(server_url)

    def use_next(self) -> None:
        """Use the next server, if there are several."""
        self._use(self._server_urls[(self._server_urls.index(self.server_url) + 1) % len(self._server_urls)])

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def register(self, registration: Registration, join_token: str) -> Registered:
        """Get an id and a token, and use them from now on."""
        self._token = join_token
        registered = await self._post("/api/v1/workers", registration, Registered)
        self._token, self._worker = registered.token, registered.id
        return registered

    async def heartbeat(self, heartbeat: Heartbeat, timeout_seconds: float) -> HeartbeatAnswer:
        """Send a heartbeat. Raises WorkerLost."""
        path = f"/api/v1/workers/{self._worker}/heartbeat"
        return await self._post(path, heartbeat, HeartbeatAnswer, timeout_seconds)

    async def ended_jobs(self, jobs: tuple[str, ...]) -> tuple[str, ...]:
        """Which of the jobs have ended or do not exist."""
        asked = JobIds(jobs=jobs)
        return (await self._post(f"/api/v1/workers/{self._worker}/ended-jobs", asked, JobIds)).jobs

    async def leave(self) -> None:
        """Tell the server that this worker shuts down, so that it does not wait for it."""
        await self._send("DELETE", f"/api/v1/workers/{self._worker}")

    async def claim(self, job: str, attempt: int, endpoint: str) -> Claimed:
        """Take an assignment. Raises ClaimRefused, and AnswerUnreadable for a job that only newer workers can run."""
        return await self._post(f"{self._assignment(job, attempt)}/claim", Claim(endpoint=endpoint), Claimed)

    async def refuse(self, job: str, attempt: int) -> None:
        """Decline an assignment."""
        await self._send("POST", f"{self._assignment(job, attempt)}/refuse")

    async def block(self, sha256: str) -> bytes:
        """A block's compressed bytes. Raises NotFound."""
        return (await self._send("GET", f"/api/v1/blocks/{sha256}", limit_seconds=_BLOCK_SECONDS)).content

    async def snapshot(self, sha256: str) -> AsyncIterator[bytes]:
        """A snapshot's archive, in chunks. Raises NotFound."""
        async for chunk in self._get_file(f"/api/v1/snapshots/{sha256}", self._headers()):
            yield chunk

    async def _get_file(self, path: str, headers: dict[str, str]) -> AsyncIterator[bytes]:
        try:
            async with self._http.stream("GET", path, headers=headers, follow_redirects=True) as response:
                if not response.is_success:
                    await response.aread()
                    raise store_refused(response) if response.history else _error(response)
                async for chunk in response.aiter_bytes():
                    yield chunk
        except httpx.HTTPError as error:
            raise self._unavailable(error) from error

    async def store_artifact(self, claimed: Claimed, name: str, path: Path) -> Artifact:
        """Store a file of the attempt that was claimed. Raises Conflict, TokenExpired when the attempt has ended."""
        response = await self._put_file(claimed, f"artifacts/{quote(name)}", path)
        return _read(Artifact, response)

    async def _put_file(self, claimed: Claimed, name: str, path: Path) -> httpx.Response:
        file = await asyncio.to_thread(open_file, path)
        with file:
            return await self._put(claimed, name, file)

    async def _put(self, claimed: Claimed, name: str, file: BinaryIO) -> httpx.Response:
        size_bytes = os.fstat(file.fileno()).st_size
        headers = {"Authorization": f"Bearer {claimed.rank_token}", "Content-Length": str(size_bytes)}
        url = f"/api/v1/jobs/{claimed.job}/attempts/{claimed.attempt}/{name}"
        try:
            response = await self._http.put(
                url, content=_chunks(file, size_bytes), headers=headers, timeout=_UPLOAD_TIMEOUT_SECONDS
            )
        except httpx.HTTPError as error:
            raise self._unavailable(error) from error
        if not response.is_success:
            raise _error(response)
        return response

    async def store_checkpoint_part(
        self, claimed: Claimed, step: int, rank: int, path: Path, *, kind: PartKind, replica: bool
    ) -> None:
        """Store a rank's part. Raises Conflict, TokenExpired when the attempt has ended."""
        query = f"kind={kind.value}&replica={str(replica).lower()}&format={CHECKPOINT_FORMAT}"
        await self._put_file(claimed, f"checkpoints/{step}/{rank}?{query}", path)

    async def checkpoint_part(self, claimed: Claimed, part: CheckpointPart, source: str | None) -> AsyncIterator[bytes]:
        """A part of an earlier attempt, or of the job `source` from which this one was forked. Raises NotFound."""
        path = f"checkpoints/{part.attempt}/{part.step}/{part.rank}" + (f"?source={source}" if source else "")
        headers = {"Authorization": f"Bearer {claimed.rank_token}"}
        async for chunk in self._get_file(f"/api/v1/jobs/{claimed.job}/attempts/{claimed.attempt}/{path}", headers):
            yield chunk

    async def answer(self, inquiry: str, answer: InquiryAnswer) -> None:
        """Answer a user's inquiry."""
        path = f"/api/v1/workers/{self._worker}/inquiries/{inquiry}"
        await self._send("POST", path, answer.model_dump_json().encode())

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}

    def _unavailable(self, error: Exception) -> Unavailable:
        if (store := store_away(error, self.server_url)) is not None:
            return store
        asked = self.server_url
        self.use_next()
        return Unavailable(f"Server {asked} does not answer: {error or type(error).__name__}.")

    def _assignment(self, job: str, attempt: int) -> str:
        return f"/api/v1/workers/{self._worker}/assignments/{job}/{attempt}"

    async def _post(
        self, path: str, body: BaseModel, answer: type[_Answer], timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> _Answer:
        response = await self._send("POST", path, body.model_dump_json().encode(), timeout_seconds)
        return _read(answer, response)

    async def _send(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        limit_seconds: float | None = None,
    ) -> httpx.Response:
        """`timeout_seconds`: for each part of the answer. `limit_seconds`: for the whole; by default twice as long."""
        try:
            async with asyncio.timeout(limit_seconds or 2 * timeout_seconds):
                response = await self._http.request(
                    method, path, content=content, headers=self._headers(), timeout=timeout_seconds
                )
        except (httpx.HTTPError, TimeoutError) as error:
            raise self._unavailable(error) from error
        if response.is_success:
            return response
        raise _error(response)


def _read(model: type[_Answer], response: httpx.Response) -> _Answer:
    try:
        return model.model_validate_json(response.content, extra="ignore")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise AnswerUnreadable(
            f"The answer of server {response.url.host} cannot be read ({where}: {first['msg']}): "
            f"this worker has Headway {__version__}. Update it to the server's version."
        ) from error


def _error(response: httpx.Response) -> HeadwayError:
    return error_from_answer(response.status_code, response.content)


async def _chunks(file: BinaryIO, size_bytes: int) -> AsyncIterator[bytes]:
    """The first `size_bytes` of the file, even if it grows meanwhile. Raises OSError if it shrinks."""
    left = size_bytes
    while left > 0:
        chunk = await asyncio.to_thread(file.read, min(left, _CHUNK_BYTES))
        if not chunk:
            raise OSError("the file became shorter while it was read")
        left -= len(chunk)
        yield chunk
