"""What a heartbeat changes at the server, and what its answer says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headway.core.facts import RankStarted
from headway.core.protocol import AssignmentKey, CommittedStream, Heartbeat, HeartbeatAnswer
from headway.errors import NotFound, WorkerLost
from headway.formats.reports import Report
from headway.server.access import Caller, CallerKind
from tests.unit.server.still_server import StillServer, still_server

pytestmark = pytest.mark.anyio
LEASE_SECONDS = 10


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[StillServer]:
    async with still_server(tmp_path, lease_seconds=LEASE_SECONDS) as server:
        await server.a_worker("a")
        yield server


async def beat(server: StillServer, worker: str, counter: int, **more: Any) -> HeartbeatAnswer:
    """A heartbeat of the worker, which has heard the answer to the one before."""
    heartbeat = Heartbeat(counter=counter, last_answer=counter - 1, **more)
    return await server.heartbeats.answer(Caller(CallerKind.WORKER, worker=worker), worker, heartbeat)


async def test_it_renews_the_lease_and_names_what_the_worker_is_to_have(server: StillServer) -> None:
    job = await server.a_job()
    await server.scheduler.schedule()
    await server.run(await server.now(job))
    for counter in range(1, 4):
        answer = await beat(server, "a", counter)
        assert answer.counter == counter
        assert [(one.job, one.attempt) for one in answer.assignments] == [(job.id, 1)]
        await server.pass_time(LEASE_SECONDS - 1)
    await server.pass_time(2)
    with pytest.raises(WorkerLost, match="declared lost because it was silent for 10 s"):
        await beat(server, "a", 4)


async def test_one_that_has_heard_no_newer_answer_is_silent(server: StillServer) -> None:
    caller = Caller(CallerKind.WORKER, worker="a")
    for counter in range(1, LEASE_SECONDS + 2):
        await server.heartbeats.answer(caller, "a", Heartbeat(counter=counter, last_answer=0))
        await server.pass_time(1)
    with pytest.raises(WorkerLost):
        await server.heartbeats.answer(caller, "a", Heartbeat(counter=99, last_answer=0))


async def test_a_worker_cannot_send_heartbeats_for_another(server: StillServer) -> None:
    await server.a_worker("b")
    heartbeat = Heartbeat(counter=1, last_answer=0)
    with pytest.raises(NotFound):
        await server.heartbeats.answer(Caller(CallerKind.WORKER, worker="b"), "a", heartbeat)


async def test_a_worker_that_is_leaving_gets_no_more_jobs(server: StillServer) -> None:
    await beat(server, "a", 1, leaving=True)
    job = await server.a_job()
    await server.scheduler.schedule()
    assert await server.workers_of(job) == []


async def test_it_says_how_far_reports_are_committed(server: StillServer) -> None:
    """Given a worker's report, then the answer commits it, and accepts nothing of a stream that is not the worker's."""
    await server.a_worker("b")
    job = await server.a_job()
    await server.scheduler.schedule()
    job = await server.claim(await server.now(job))
    (worker,) = await server.workers_of(job)
    other = "b" if worker == "a" else "a"
    own = AssignmentKey(job=job.id, attempt=1, worker=worker)
    assert (await beat(server, worker, 1, streams=(own,))).committed == (CommittedStream(stream=own, through=0),)
    await server.recorder.record([Report(job.id, 1, worker, 1, 1, facts=(RankStarted(rank=0, pid=1),))])
    assert (await beat(server, worker, 2, streams=(own,))).committed == (CommittedStream(stream=own, through=1),)
    assert (await beat(server, other, 1, streams=(own,))).committed == (CommittedStream(stream=own, through=None),)


async def test_a_server_that_may_not_lead_commits_nothing(server: StillServer, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await server.a_job()
    await server.scheduler.schedule()
    own = AssignmentKey(job=job.id, attempt=1, worker="a")
    monkeypatch.setattr(server.heartbeats, "_leads", lambda: False)
    assert (await beat(server, "a", 1, streams=(own,))).committed == ()
