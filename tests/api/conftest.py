"""A server in this process, over the embedded backends; tests use it over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from headway.core.facts import Fact, OutputsStored, RankEnded, RankFinished, RankStarted, Released
from headway.formats.metrics import Series, encode_metrics
from headway.formats.reports import LogLine, Report, encode_logs
from headway.server.access import Caller, CallerKind
from headway.server.app import create_app
from headway.server.main import _config, _Http, _listen
from headway.server.server import Server
from headway.server.startup import started
from headway.settings import Settings
from tests.api.documented import check_documented
from tests.until import until

USER = Caller(CallerKind.USER)
PROJECT = "default"
SCRIPT = {"script": "script.py", "source": "print(1)"}


def finished_rank() -> tuple[Fact, ...]:
    return RankFinished(rank=0), RankEnded(rank=0, at=1.0, exit_code=0, finished=True)


@dataclass
class Api:
    server: Server
    http: httpx.AsyncClient
    http_server: _Http | None = None
    """What listens."""

    def headers(self, caller: Caller) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.server.tokens.make(caller)}"}

    async def submit(self, **spec: Any) -> dict[str, Any]:
        response = await self.http.post("/api/v1/jobs", json={**SCRIPT, **spec})
        assert response.status_code == 201, response.text
        return response.json()

    async def worker(self, slots: int = 2, former_token: str | None = None) -> SpokenWorker:
        description = {"name": "one", "slots": slots, "threads_per_slot": 1, "host": "127.0.0.1", "port": 9}
        registration = {"worker": description, "former_token": former_token}
        join = self.headers(Caller(CallerKind.JOIN))
        response = await self.http.post("/api/v1/workers", json=registration, headers=join)
        assert response.status_code == 201, response.text
        return SpokenWorker(self, response.json())

    async def placed(self, **spec: Any) -> tuple[str, SpokenWorker]:
        """A worker, and the id of a job that is placed on it."""
        worker, job = await self.worker(), await self.submit(**spec)
        while (await self.http.get(f"/api/v1/jobs/{job['id']}")).json()["status"] == "queued":
            await asyncio.sleep(0.01)
        return job["id"], worker

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """The server on a port of this machine, as `headway server` has it; in this process."""
        http = self.http_server = _Http(_config(self.server))
        with _listen("127.0.0.1", 0) as listener:
            serving = asyncio.create_task(http.serve(sockets=[listener]))
            await until(lambda: http.started)
            yield listener.getsockname()[1]
            http.end()
            await serving


@dataclass
class SpokenWorker:
    """A worker that the test plays: it claims and reports, and has no ranks."""

    api: Api
    registered: dict[str, Any]
    numbers: int = 0

    @property
    def id(self) -> str:
        return self.registered["id"]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.registered['token']}"}

    async def claim(self, job: str, attempt: int = 1) -> httpx.Response:
        path = f"/api/v1/workers/{self.id}/assignments/{job}/{attempt}/claim"
        return await self.api.http.post(path, json={"endpoint": "127.0.0.1:1"}, headers=self.headers)

    async def heartbeat(self, counter: int, **more: Any) -> httpx.Response:
        body = {"counter": counter, "last_answer": counter - 1, **more}
        return await self.api.http.post(f"/api/v1/workers/{self.id}/heartbeat", json=body, headers=self.headers)

    def a_report(
        self, job: str, *facts: Fact, lines: tuple[str, ...] = (), points: int = 0, last: bool = False, attempt: int = 1
    ) -> Report:
        self.numbers += 1
        logs = encode_logs(self.numbers, [LogLine(0, 1.0, text) for text in lines])
        series = Series("loss", 0)
        for step in range(points):
            series.steps.append(step)
            series.times.append(float(step))
            series.values.append(1 / (step + 1))
        metrics = encode_metrics(self.numbers, [series])
        return Report(job, attempt, self.id, self.numbers, self.numbers, last, facts, logs, metrics)

    async def run_to_the_end(self, job: str, lines: tuple[str, ...] = (), points: int = 0) -> None:
        """Claim the job's only rank, and report that it finished."""
        assert (await self.claim(job)).status_code == 200
        facts = (*finished_rank(), OutputsStored(), Released())
        await self.api.server.recorder.record(
            [
                self.a_report(job, RankStarted(rank=0, pid=1), lines=lines, points=points),
                self.a_report(job, *facts, last=True),
            ]
        )


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with opened(Server(Settings(home=tmp_path / "home"))) as api:
        yield api


@asynccontextmanager
async def opened(server: Server) -> AsyncIterator[Api]:
    """The running server, with a client that acts as its user."""
    app = create_app(server)
    async with started(server):
        token = server.tokens.make(USER)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport,
            base_url="http://localhost:8420",
            headers={"Authorization": f"Bearer {token}"},
            event_hooks={"response": [check_documented]},
        ) as http:
            yield Api(server, http)
