"""A worker or rank is only overdue by its own silence, not because the server was paused or had no database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from headway.brokers.embedded import EmbeddedBroker
from headway.core.facts import Released
from headway.core.protocol import AssignmentKey
from headway.errors import Unavailable
from headway.formats.reports import Report, encode_report
from headway.server.server import Server
from headway.settings import Settings
from tests.api.conftest import Api, opened
from tests.fake_clock import FakeClock

pytestmark = pytest.mark.anyio
LEASE_SECONDS = CLAIM_SECONDS = 10


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def api(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Api]:
    settings = Settings(home=tmp_path / "home", lease_seconds=LEASE_SECONDS, claim_timeout_seconds=CLAIM_SECONDS)
    async with opened(Server(settings, clock=clock)) as api:
        yield api


async def pass_time(api: Api, clock: FakeClock, seconds: int) -> None:
    """Let time pass in small steps, with a tick of the scheduler at each."""
    for _ in range(seconds):
        clock.seconds += 1
        await api.server.scheduler.tick()


async def test_a_silent_worker_is_declared_lost(api: Api, clock: FakeClock) -> None:
    worker = await api.worker()
    assert (await worker.heartbeat(1)).status_code == 200
    await pass_time(api, clock, LEASE_SECONDS)
    assert (await worker.heartbeat(1)).status_code == 200, "its lease is not over"
    await pass_time(api, clock, 1)
    answer = await worker.heartbeat(2)
    assert (answer.status_code, answer.json()["code"]) == (410, "worker_lost")
    assert "declared lost because it was silent for 10 s" in answer.json()["detail"]


async def test_a_worker_whose_heartbeat_comes_during_a_database_wait_is_kept(
    api: Api, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an expired lease, when a heartbeat comes while the server waits for the database, the worker is kept."""
    worker = await api.worker()

    async def answers_late() -> None:
        assert (await worker.heartbeat(2)).status_code == 200

    monkeypatch.setattr(api.server.backends.database, "check", answers_late)
    assert (await worker.heartbeat(1)).status_code == 200
    await pass_time(api, clock, LEASE_SECONDS + 1)
    assert (await worker.heartbeat(3)).status_code == 200


async def test_a_worker_that_the_server_could_not_answer_is_kept(
    api: Api, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a server without its database for as long as a lease, the worker is not declared lost."""
    worker = await api.worker()
    assert (await worker.heartbeat(1)).status_code == 200

    async def unavailable(stream: AssignmentKey) -> int | None:
        raise Unavailable("The database does not answer.")

    streams = [{"job": "j", "attempt": 1, "worker": worker.id}]
    with monkeypatch.context() as patched:
        patched.setattr(api.server.recorder, "committed", unavailable)
        for counter in range(2, 2 + LEASE_SECONDS):
            assert (await worker.heartbeat(counter, last_answer=1, streams=streams)).status_code == 503
            await pass_time(api, clock, 1)
    await pass_time(api, clock, 1)  # the database is back before the worker sends again
    assert (await worker.heartbeat(99, last_answer=1)).status_code == 200


async def test_a_server_that_was_paused_grants_everyone_a_full_term(api: Api, clock: FakeClock) -> None:
    """Given a worker with a claim, when the server wakes up after an hour, both get a full term from then."""
    job = await api.submit()
    worker = await api.worker()
    await api.server.scheduler.schedule()
    assert (await worker.claim(job["id"])).status_code == 200
    await pass_time(api, clock, 1)
    clock.seconds += 3600
    await pass_time(api, clock, LEASE_SECONDS - 2)
    assert (await worker.heartbeat(1)).status_code == 200
    assert await status(api, job) == "starting"
    await pass_time(api, clock, CLAIM_SECONDS)
    assert await status(api, job) == "stopping", "it was not started in time"
    await pass_time(api, clock, 1)
    assert (await worker.heartbeat(2)).status_code == 410, "it gets one full term, not more"


async def test_ranks_whose_end_is_in_the_broker_are_not_overdue(
    api: Api, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a worker that reported the end of its ranks in time, when that is stored late, then it is not lost."""
    job = await api.submit()
    worker = await api.worker()
    await api.server.scheduler.schedule()
    assert (await worker.claim(job["id"])).status_code == 200
    await api.http.post(f"/api/v1/jobs/{job['id']}/cancel")
    database_is_back, insert = asyncio.Event(), api.server.backends.database.streams.insert

    async def insert_late(reports: Sequence[Report]) -> None:
        await database_is_back.wait()
        await insert(reports)

    monkeypatch.setattr(api.server.backends.database.streams, "insert", insert_late)
    await api.server.backends.embedded.receive_report(encode_report(worker.a_report(job["id"], Released(), last=True)))
    asyncio.get_running_loop().call_later(0.2, database_is_back.set)
    for counter in range(1, 100):
        assert (await worker.heartbeat(counter)).status_code == 200
        await pass_time(api, clock, 1)
    assert await status(api, job) == "cancelled"
    assert (await worker.heartbeat(100)).status_code == 200


async def status(api: Api, job: dict[str, Any]) -> str:
    return str((await api.http.get(f"/api/v1/jobs/{job['id']}")).json()["status"])


class BeginningAt(EmbeddedBroker):
    """A broker with absolute positions, like Kafka's, and reports from before this server started to read."""

    def __init__(self, position: int) -> None:
        super().__init__()
        self._position = self._arrived.taken = position


async def test_a_server_with_nothing_to_read_catches_up_at_once(tmp_path: Path) -> None:
    """Given a stream of reports that ends where the server starts to read, then it does not wait for earlier ones."""
    settings = Settings(home=tmp_path / "home", catch_up_seconds=60.0)
    async with opened(Server(settings, embedded=BeginningAt(1_000))) as api:
        async with asyncio.timeout(5):
            await api.server.recorder.catch_up()
