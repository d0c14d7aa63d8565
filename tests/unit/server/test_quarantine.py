"""The server's side of the quarantine: its stored state, and when a worker is tried again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headway.backend_registry import backend
from headway.core import transitions
from headway.core.fact_transitions import ReportedFacts, apply_facts
from headway.core.facts import PrepareFailed, RankFinished, RankStarted, Released, StageReached
from headway.core.job import Job, JobSpec
from headway.core.placement import Share
from headway.core.worker import WorkerDescription
from headway.database.base import Database
from headway.server.counters import ServerCounters
from headway.server.quarantine import Quarantine
from headway.server.services.jobs import Jobs
from headway.server.worker_registry import WorkerRegistry
from tests.fake_clock import FakeClock
from tests.new_job import new_job

pytestmark = pytest.mark.anyio
FULL = PrepareFailed(error="the disk is full", own_fault=True)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    found: Database = backend("database", "sqlite:")(f"sqlite://{tmp_path}/headway.db")
    await found.open()
    yield found
    await found.close()


class Server:
    """The quarantine of one server. A test may create another one on the same database."""

    def __init__(self, database: Database) -> None:
        self.clock = FakeClock()
        self.jobs = Jobs(database, self.clock)
        self.registry = WorkerRegistry(database)
        self.counters = ServerCounters(database.damage)
        self.quarantine = Quarantine(self.clock, self.registry, self.counters)
        self.jobs.on_change = (self.quarantine.job_changed,)
        self.quarantine.open()

    async def register(self, name: str, former: str | None = None) -> None:
        description = WorkerDescription(name=name[0], slots=1, threads_per_slot=1, host="h", port=1)
        await self.registry.register(name, description, former, self.clock.now())

    async def attempt(self, job: Job, worker: str, *facts: object) -> Job:
        """Run an attempt of the job on a worker that reports these facts, and judge it."""
        share = [Share(worker, worker[0], 0, 1)]
        job = await self.jobs.update(job.id, lambda job: transitions.place(job, share, self.clock.now()))
        number = job.attempt_number
        await self.jobs.update(job.id, lambda job: transitions.claim(job, number, worker, "h:1"))
        report = ReportedFacts(worker, 1, (*facts, Released()), last=True)  # type: ignore[arg-type]
        job = await self.jobs.update(job.id, lambda job: apply_facts(job, number, [report], self.clock.now()))
        await self.quarantine.judge()
        return job

    async def submit(self) -> Job:
        return await self.jobs.insert(new_job(JobSpec(script="s.py", source="")))

    def due(self) -> set[str]:
        return self.quarantine.with_tries(self.registry.workers())[1]


async def quarantined(database: Database) -> Server:
    return await quarantined_on(Server(database))


async def quarantined_on(server: Server) -> Server:
    await server.register("a")
    await server.register("b")
    for _ in range(3):
        await server.attempt(await server.submit(), "a", FULL)
    assert [one.name for one in server.registry.workers() if one.takes_jobs] == ["b"]
    return server


async def test_a_try_follows_each_pause_and_pauses_grow(database: Database) -> None:
    server = await quarantined(database)
    assert server.quarantine.holds
    assert server.counters.quarantined_workers == 1
    server.clock.seconds = 29
    assert server.due() == set()
    server.clock.seconds = 30
    assert server.due() == {"a"}
    server.quarantine.tried({"a"})
    assert server.due() == set()
    await server.attempt(await server.submit(), "a", FULL)
    server.clock.seconds = 89
    assert server.due() == set()
    server.clock.seconds = 90
    assert server.due() == {"a"}
    assert server.counters.quarantined_workers == 1, "it is still the same quarantine"


async def test_ranks_that_work_end_the_quarantine(database: Database) -> None:
    server = await quarantined(database)
    at = server.clock.now()
    await server.attempt(
        await server.submit(), "a", RankStarted(rank=0, pid=1), StageReached(stage="first_step", at=at),
        RankFinished(rank=0),
    )  # fmt: skip
    assert not server.quarantine.holds


async def test_another_server_knows_it_and_grants_a_full_pause(database: Database) -> None:
    await quarantined(database)
    server = Server(database)
    await server.registry.open()
    (bad,) = (one for one in server.registry.workers() if one.quarantine is not None)
    assert bad.quarantine is not None
    assert (bad.name, bad.quarantine.reason) == ("a", "the disk is full")
    assert server.due() == set()
    server.clock.seconds = 30
    assert server.due() == {"a"}


async def test_a_worker_that_starts_again_is_still_quarantined_and_tried_at_once(database: Database) -> None:
    server = await quarantined(database)
    await server.registry.lose("a", "it was restarted", 0)
    await server.register("a2", former="a")
    assert [one.id for one in server.registry.workers() if not one.takes_jobs] == ["a2"]
    assert server.due() == {"a2"}


async def test_a_server_that_continues_the_former_leaders_time_grants_a_full_pause(database: Database) -> None:
    """Given a leader whose clock was ahead, the registration times of its workers are in this machine's future."""
    former = Server(database)
    former.clock.ahead_seconds = 3600
    await quarantined_on(former)
    server = Server(database)
    server.clock.ahead_seconds = 3600  # a server sets this when it starts to lead
    server.quarantine.open()
    await server.registry.open()
    assert server.due() == set()
    server.clock.seconds = 30
    assert server.due() == {"a"}


async def test_one_job_that_fails_everywhere_quarantines_no_worker(database: Database) -> None:
    server = Server(database)
    for name in "abc":
        await server.register(name)
    job = await server.submit()
    for name in "abcabc":
        job = await server.attempt(job, name, FULL)
    assert (job.status, job.retries_used) == ("failed", 3)
    assert all(one.takes_jobs for one in server.registry.workers())
    assert not any(fault.counts for one in server.registry.workers() for fault in one.faults)


async def test_many_jobs_that_fail_everywhere_leave_the_fleet_working(database: Database) -> None:
    server = Server(database)
    for name in "ab":
        await server.register(name)
    jobs = [await server.submit() for _ in range(4)]
    for name in "ab":
        for job in jobs:
            await server.attempt(job, name, FULL)
            assert any(one.takes_jobs for one in server.registry.workers())
    assert all(one.takes_jobs for one in server.registry.workers())
