"""What the worker asks of the server over HTTP."""

from __future__ import annotations

from typing import TypeVar

import httpx
from pydantic import BaseModel

from headway.core.protocol import Claim, Claimed, Heartbeat, HeartbeatAnswer, Registered, Registration
from headway.errors import Unavailable, error_from_problem

_TIMEOUT_SECONDS = 5.0
_Answer = TypeVar("_Answer", bound=BaseModel)


class Connection:
    """Raises Unavailable when no server answers, and otherwise the error that the server names."""

    def __init__(self, server_url: str) -> None:
        self.server_url = server_url.rstrip("/")
        self._http = httpx.AsyncClient(base_url=self.server_url, timeout=_TIMEOUT_SECONDS, trust_env=False)
        self._token = ""
        self._worker = ""

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.aclose()

    async def register(self, registration: Registration, join_token: str) -> Registered:
        """Get an id and a token, which are used from now on."""
        self._token = join_token
        registered = await self._post("/api/v1/workers", registration, Registered)
        self._token, self._worker = registered.token, registered.id
        return registered

    async def heartbeat(self, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Say that we live. Raises WorkerLost."""
        return await self._post(f"/api/v1/workers/{self._worker}/heartbeat", heartbeat, HeartbeatAnswer)

    async def claim(self, job: str, attempt: int, endpoint: str) -> Claimed:
        """Take an assignment. Raises ClaimRefused."""
        return await self._post(f"{self._assignment(job, attempt)}/claim", Claim(endpoint=endpoint), Claimed)

    async def refuse(self, job: str, attempt: int) -> None:
        """Decline an assignment."""
        await self._send("POST", f"{self._assignment(job, attempt)}/refuse")

    async def block(self, sha256: str) -> bytes:
        """A block's compressed bytes. Raises NotFound."""
        return (await self._send("GET", f"/api/v1/blocks/{sha256}")).content

    def _assignment(self, job: str, attempt: int) -> str:
        return f"/api/v1/workers/{self._worker}/assignments/{job}/{attempt}"

    async def _post(self, path: str, body: BaseModel, answer: type[_Answer]) -> _Answer:
        response = await self._send("POST", path, body.model_dump_json().encode())
        return answer.model_validate_json(response.content)

    async def _send(self, method: str, path: str, content: bytes | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            response = await self._http.request(method, path, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise Unavailable(f"Server {self.server_url} does not answer: {error or type(error).__name__}.") from error
        if response.is_success:
            return response
        try:
            problem = response.json()
        except ValueError:
            problem = {}
        raise error_from_problem(response.status_code, problem)
