"""A server with a real database whose loops do not run: the test decides when time passes and what acts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from headway.core import transitions
from headway.core.fact_transitions import ReportedFacts, apply_facts
from headway.core.facts import Fact, OutputsStored, RankEnded, RankFinished, RankStarted, Released
from headway.core.job import Job, JobSpec
from headway.core.worker import WorkerDescription
from headway.server.access import Caller, CallerKind
from headway.server.change_listeners import connect_listeners
from headway.server.server import Server
from headway.server.services.submission import Idempotency
from headway.settings import Settings
from tests.fake_clock import FakeClock


class StillServer(Server):
    """One method for each action of workers and users."""

    clock: FakeClock

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, clock=FakeClock())
        connect_listeners(self)
        self._numbers: dict[tuple[str, int, str], int] = {}

    async def a_worker(self, name: str, slots: int = 1, former: str | None = None) -> str:
        """Register a worker; its id is its name."""
        description = WorkerDescription(name=name, slots=slots, threads_per_slot=1, host="127.0.0.1", port=9)
        await self.registry.register(name, description, former, self.clock.now())
        self.leases.watch(name)
        return name

    async def a_job(self, **spec: Any) -> Job:
        """Submit a job."""
        job = JobSpec(script="s.py", source="", **spec)
        user = Caller(CallerKind.USER)
        return (await self.submission.submit(user, "default", job, Idempotency(None, b""))).job

    async def now(self, job: Job) -> Job:
        """The job's current state."""
        return await self.jobs.by_id(job.id)

    async def claim(self, job: Job) -> Job:
        """Let every worker of the newest attempt claim."""
        number = job.attempt_number
        for one in job.attempt.assignments if job.attempt else ():
            worker = one.worker
            job = await self.jobs.update(
                job.id, lambda job, worker=worker: transitions.claim(job, number, worker, "127.0.0.1:1")
            )
        return job

    async def report(self, job: Job, worker: str, *facts: Fact, last: bool = False) -> Job:
        """Apply a worker's report about the newest attempt."""
        key = (job.id, job.attempt_number, worker)
        number = self._numbers[key] = self._numbers.get(key, 0) + 1
        report = ReportedFacts(worker, number, facts, last=last)
        return await self.jobs.update(job.id, lambda job: apply_facts(job, key[1], [report], self.clock.now()))

    async def run(self, job: Job) -> Job:
        """Let every worker of the newest attempt claim and start its ranks."""
        job = await self.claim(job)
        for one in job.attempt.assignments if job.attempt else ():
            job = await self.report(job, one.worker, *(RankStarted(rank=rank, pid=1) for rank in one.ranks))
        return job

    async def finish(self, job: Job) -> Job:
        """Let every rank of a running job finish, and its worker release it."""
        for one in job.attempt.assignments if job.attempt else ():
            facts: list[Fact] = [RankFinished(rank=rank) for rank in one.ranks]
            facts += [RankEnded(rank=rank, at=1.0, exit_code=0, finished=True) for rank in one.ranks]
            job = await self.report(job, one.worker, *facts, OutputsStored(), Released(), last=True)
        return job

    async def fail(self, job: Job, worker: str, fact: Fact) -> Job:
        """Let a worker report a failure; all workers of the newest attempt release their assignments."""
        job = await self.report(job, worker, fact)
        for one in job.attempt.assignments if job.attempt else ():
            job = await self.report(job, one.worker, Released(), last=True)
        return job

    async def deliver(self, job: Job) -> None:
        """Run the relay until everything of the job is delivered."""
        relaying = asyncio.create_task(self.relay.run())
        while (known := self.jobs.unsettled.find(job.id)) is not None and known.events:
            await asyncio.sleep(0.01)
        relaying.cancel()
        await asyncio.gather(relaying, return_exceptions=True)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, with a tick of the scheduler each second."""
        for _ in range(round(seconds)):
            self.clock.seconds += 1.0
            await self.scheduler.tick()

    async def workers_of(self, job: Job) -> list[str]:
        """The workers of the job's newest attempt."""
        attempt = (await self.now(job)).attempt
        return [one.worker for one in attempt.assignments] if attempt else []


@asynccontextmanager
async def still_server(folder: Path, **settings: Any) -> AsyncIterator[StillServer]:
    """A server in a folder, its stores open."""
    server = StillServer(Settings(home=folder / "home", **settings))
    await server.backends.open_stores()
    await server.registry.open()
    server.quarantine.open()
    try:
        yield server
    finally:
        await server.backends.close()
