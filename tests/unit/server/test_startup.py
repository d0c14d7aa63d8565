"""The order in which a server starts and stops."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from headway.core.facts import RankStarted
from headway.core.status import JobStatus
from headway.errors import SettingInvalid
from headway.server.server import Server
from headway.server.startup import started
from headway.settings import Settings
from tests.unit.server.still_server import still_server

pytestmark = pytest.mark.anyio


def note_calls(monkeypatch: pytest.MonkeyPatch, server: Server, *paths: str) -> list[str]:
    """Record the calls of these methods of the server's parts."""
    calls: list[str] = []
    for path in paths:
        owner: Any = server
        *parts, method = path.split(".")
        for part in parts:
            owner = getattr(owner, part)

        original = getattr(owner, method)

        async def noted(*arguments: Any, path: str = path, call: Any = original) -> Any:
            calls.append(path)
            return await call(*arguments)

        monkeypatch.setattr(owner, method, noted)
    return calls


async def test_a_server_reaches_its_backends_before_it_writes_and_closes_them_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(Settings(home=tmp_path))
    order = (
        "backends.open_stores",
        "backends.reach_brokers",
        "backends.database.installation",
        "backends.open_brokers",
        "registry.open",
        "jobs.open",
        "queue.open",
        "recorder.open",
        "workers.open",
        "backends.close",
    )
    calls = note_calls(monkeypatch, server, *order)
    assert not server.running
    async with started(server):
        assert server.running
        assert calls == list(order[:-1])
    assert calls == list(order)
    assert not server.running


async def test_a_start_that_fails_closes_what_it_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(Settings(home=tmp_path))
    calls = note_calls(monkeypatch, server, "backends.close", "jobs.open")

    async def away() -> None:
        raise SettingInvalid("HEADWAY_BROKER_URL names a broker that is away.")

    monkeypatch.setattr(server.backends, "reach_brokers", away)
    with pytest.raises(SettingInvalid, match="HEADWAY_BROKER_URL"):
        async with started(server):
            raise AssertionError("it started")
    assert calls == ["backends.close"]


async def test_a_server_continues_the_work_of_the_previous_one(tmp_path: Path) -> None:
    """Given a running job whose worker is lost, and a queued one, the next server knows both and ends the first."""
    async with still_server(tmp_path) as former:
        await former.a_worker("gone")
        running, queued = await former.a_job(), await former.a_job()
        await former.scheduler.schedule()
        running = await former.report(await former.claim(await former.now(running)), "gone", RankStarted(rank=0, pid=1))
        assert running.status is JobStatus.RUNNING
        await former.registry.lose("gone", "the test says so", 1.0)
    server = Server(Settings(home=tmp_path / "home"))
    async with started(server):
        ended = await server.jobs.by_id(running.id)
        assert (ended.status, ended.attempt and ended.attempt.reason) == (JobStatus.QUEUED, "worker_lost")
        assert {gang.job for gang in server.queue.gangs()} == {running.id, queued.id}


async def test_a_loop_that_a_defect_ends_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("headway.server.startup._RESTART_SECONDS", 0.01)
    server = Server(Settings(home=tmp_path))
    runs = 0
    again = asyncio.Event()

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ZeroDivisionError
        again.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(server.housekeeping, "run", run)
    async with started(server), asyncio.timeout(10):
        await again.wait()
    assert "A defect stopped" in caplog.text
