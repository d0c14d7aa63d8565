"""What a worker learns about its assignments, and what it may report about them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headway.core import transitions
from headway.core.facts import RankFinished
from headway.core.status import AssignmentState, JobStatus
from headway.errors import ClaimRefused, NotFound, WorkerLost
from headway.server.access import Caller, CallerKind
from tests.unit.server.still_server import StillServer, still_server

pytestmark = pytest.mark.anyio


def as_worker(worker_id: str) -> Caller:
    return Caller(CallerKind.WORKER, worker=worker_id)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[StillServer]:
    async with still_server(tmp_path) as server:
        for name in "ab":
            await server.a_worker(name)
        yield server


async def test_a_worker_is_told_when_its_gang_is_complete_and_when_it_has_finished(server: StillServer) -> None:
    job = await server.a_job(world_size=2)
    await server.scheduler.schedule()
    (offered,) = server.assignments.open_of("a")
    assert (offered.job, offered.attempt, offered.state) == (job.id, 1, AssignmentState.OFFERED)
    await server.assignments.claim(as_worker("a"), "a", job.id, 1, "127.0.0.1:1")
    assert [one.ready for one in server.assignments.open_of("a")] == [False]
    await server.assignments.claim(as_worker("b"), "b", job.id, 1, "127.0.0.1:2")
    assert [one.ready for one in server.assignments.open_of("a")] == [True]
    running = await server.run(await server.now(job))
    await server.report(running, "a", RankFinished(rank=0))
    assert [one.finished for one in server.assignments.open_of("a")] == [False]
    await server.report(running, "b", RankFinished(rank=1))
    assert [one.finished for one in server.assignments.open_of("a")] == [True]


async def test_a_worker_is_told_how_to_end_its_ranks(server: StillServer) -> None:
    job = await server.a_job()
    await server.scheduler.schedule()
    await server.run(await server.now(job))
    (worker,) = await server.workers_of(job)
    await server.jobs.update(job.id, lambda job: transitions.pause(job, server.clock.now()))
    (stopping,) = server.assignments.open_of(worker)
    assert (stopping.state, stopping.saves, stopping.kill) == (AssignmentState.STOPPING, True, False)
    await server.jobs.update(job.id, lambda job: transitions.cancel(job, server.clock.now(), kill=True))
    (stopping,) = server.assignments.open_of(worker)
    assert stopping.kill


async def test_a_released_assignment_is_not_listed(server: StillServer) -> None:
    job = await server.a_job()
    await server.scheduler.schedule()
    (worker,) = await server.workers_of(job)
    await server.finish(await server.run(await server.now(job)))
    assert server.assignments.open_of(worker) == ()


async def test_a_claim_can_be_repeated_and_tells_the_meeting_point_once_all_have_claimed(server: StillServer) -> None:
    job = await server.a_job(world_size=2)
    await server.scheduler.schedule()
    first, second = await server.workers_of(job)
    assert (await server.assignments.claim(as_worker(first), first, job.id, 1, "127.0.0.1:1")).endpoint is None
    claimed = await server.assignments.claim(as_worker(second), second, job.id, 1, "127.0.0.1:2")
    assert (claimed.endpoint, claimed.group_rank, claimed.first_rank) == ("127.0.0.1:1", 1, 1)
    again = await server.assignments.claim(as_worker(first), first, job.id, 1, "127.0.0.1:1")
    assert (again.endpoint, again.group_rank, again.group_count) == ("127.0.0.1:1", 0, 2)


async def test_a_refusal_releases_the_gang_and_counts_as_no_failure(server: StillServer) -> None:
    job = await server.a_job(world_size=2)
    await server.scheduler.schedule()
    await server.assignments.refuse(as_worker("a"), "a", job.id, 1)
    refused = await server.now(job)
    assert (refused.status, refused.retries_used) == (JobStatus.QUEUED, 0)
    with pytest.raises(ClaimRefused):
        await server.assignments.claim(as_worker("a"), "a", job.id, 1, "127.0.0.1:1")
    assert (server.counters.refused_assignments, server.counters.refused_claims) == (1, 1)
    assert server.assignments.open_of("b") == ()


async def test_only_its_own_worker_can_claim_an_assignment(server: StillServer) -> None:
    job = await server.a_job()
    await server.scheduler.schedule()
    (worker,) = await server.workers_of(job)
    (other,) = {"a", "b"} - {worker}
    with pytest.raises(NotFound):
        await server.assignments.claim(as_worker(other), other, job.id, 1, "127.0.0.1:1")


async def test_a_lost_worker_claims_nothing(server: StillServer) -> None:
    job = await server.a_job()
    await server.scheduler.schedule()
    (worker,) = await server.workers_of(job)
    await server.workers.lose(worker, "the test says so")
    with pytest.raises(WorkerLost, match="declared lost because the test says so"):
        await server.assignments.claim(as_worker(worker), worker, job.id, 1, "127.0.0.1:1")
