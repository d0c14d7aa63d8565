"""The scheduler with 1,000 workers and 10,000 queued jobs: the server's own code and SQLite, workers as facts.

Time is simulated: a round is a second. A decision looks at the whole queue and places jobs. The writes that follow are
measured separately.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from headway.core import transitions
from headway.core.fact_transitions import ReportedFacts, apply_facts
from headway.core.facts import OutputsStored, RankFinished, RankStarted, Released
from headway.core.job import Job, JobSpec
from headway.core.status import JobStatus
from headway.core.worker import WorkerDescription
from headway.server.access import Caller, CallerKind
from headway.server.change_listeners import connect_listeners
from headway.server.clock import Clock
from headway.server.server import Server
from headway.server.services.submission import Idempotency
from headway.settings import Settings

SIZES, SHARES = (1, 2, 4, 8, 16, 64, 256), (50, 20, 12, 10, 5, 2, 1)
SITES, SITE_SHARE = 4, 0.1
LONGEST_ROUNDS = 30
DECISION_GOAL_SECONDS = 0.050


class SimulatedClock(Clock):
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1e9

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


class Simulation:
    """The server's jobs, queue, workers and scheduler. It measures the time of its writes."""

    def __init__(self, home: Path, seed: int) -> None:
        self.clock = SimulatedClock()
        self.server = Server(Settings(home=home, lease_seconds=1e8), clock=self.clock)
        connect_listeners(self.server)
        self.random = random.Random(seed)
        self.write_seconds = 0.0
        self.placed: list[str] = []
        update = self.server.jobs.update

        async def timed_update(job_id: str, transition: Callable[[Job], Job]) -> Job:
            began = time.perf_counter()
            job = await update(job_id, transition)
            self.write_seconds += time.perf_counter() - began
            if job.status is JobStatus.STARTING:
                self.placed.append(job_id)
            return job

        self.server.jobs.update = timed_update  # type: ignore[method-assign]

    async def fill(self, workers: int, jobs: int) -> None:
        """Register the workers and submit the jobs."""
        for n in range(workers):
            description = WorkerDescription(
                name=f"w{n:04}", slots=8, threads_per_slot=1, host="h", port=1, labels={"site": str(n % SITES)}
            )
            await self.server.registry.register(f"w-{n}", description, None, self.clock.now())
        for n in range(jobs):
            site = {"site": str(self.random.randrange(SITES))} if self.random.random() < SITE_SHARE else {}
            size = self.random.choices(SIZES, SHARES)[0]
            priority = self.random.choice([0, 0, 0, 1])
            spec = JobSpec(script="s.py", source="", world_size=size, name=f"job-{n}", priority=priority, where=site)
            await self.server.submission.submit(Caller(CallerKind.USER), "default", spec, Idempotency(None, b"{}"))

    async def schedule(self) -> tuple[float, float, list[str]]:
        """One look at the queue: seconds to decide, seconds to write, and the jobs placed."""
        self.write_seconds, self.placed = 0.0, []
        began = time.perf_counter()
        await self.server.scheduler.schedule()
        return time.perf_counter() - began - self.write_seconds, self.write_seconds, self.placed

    async def finish(self, job_id: str) -> None:
        """All of a job's workers claim, run their ranks and release them."""
        job = await self.server.jobs.by_id(job_id)
        assert job.attempt is not None
        number, now = job.attempt.number, self.clock.now()

        def lived(job: Job) -> Job:
            for one in job.attempt.assignments if job.attempt else ():
                job = transitions.claim(job, number, one.worker, "h:1")
                ranks = range(one.first_rank, one.first_rank + one.rank_count)
                facts = [fact for rank in ranks for fact in (RankStarted(rank=rank, pid=1), RankFinished(rank=rank))]
                last = ReportedFacts(one.worker, 1, (*facts, OutputsStored(), Released()), last=True)
                job = apply_facts(job, number, [last], now)
            return job

        ended = await self.server.jobs.update(job_id, lived)
        assert ended.status is JobStatus.SUCCEEDED, ended.sentence
        await self.server.jobs.note_delivered(ended, ended.event_count, ended.wakeups)


def overtaken(queue: list[tuple[int, int, str]], placed: list[str]) -> int:
    """How many placed jobs overtook an earlier job that could run on any worker and still waits."""
    first_left = min((place for *place, job in queue if job not in placed), default=None)
    return (
        0 if first_left is None else sum([priority, age] > first_left for priority, age, job in queue if job in placed)
    )


async def simulate(workers: int, jobs: int, seed: int) -> dict[str, object]:
    """Place and end all jobs. Returns the figures."""
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(Path(folder), seed)
        server = simulation.server
        await server.backends.database.open()
        await server.registry.open()
        await simulation.fill(workers, jobs)
        decisions, writes, passed, rounds, done = [], 0.0, 0, 0, 0
        ends: dict[int, list[str]] = defaultdict(list)
        cpu_began = time.process_time()
        while done < jobs:
            before = [
                (-gang.priority, gang.sequence, gang.job) for gang in server.queue.gangs() if not gang.shape.where
            ]
            decided, wrote, placed = await simulation.schedule()
            passed += overtaken(before, placed)
            decisions.append(decided)
            writes += wrote
            for job_id in placed:
                ends[rounds + simulation.random.randint(1, LONGEST_ROUNDS)].append(job_id)
            rounds += 1
            simulation.clock.seconds += 1.0
            for job_id in ends.pop(rounds, ()):
                await simulation.finish(job_id)
                done += 1
        cpu_seconds = time.process_time() - cpu_began
        await server.backends.database.close()
    return {
        "workers": workers,
        "jobs": jobs,
        "rounds": rounds,
        "decision_p50_seconds": round(statistics.median(decisions), 4),
        "decision_p95_seconds": round(statistics.quantiles(decisions, n=20)[-1], 4),
        "decision_max_seconds": round(max(decisions), 4),
        "write_seconds_per_placement": round(writes / jobs, 5),
        "cpu_seconds_per_job": round(cpu_seconds / jobs, 5),
        "overtaken": passed,
    }


def main() -> None:
    """Print the figures. The exit status is 0 if decisions were fast enough and no job was overtaken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = asyncio.run(simulate(arguments.workers, arguments.jobs, arguments.seed))
    print(json.dumps({"benchmark": "scheduler", **found}, indent=2))
    sys.exit(found["overtaken"] != 0 or float(str(found["decision_p95_seconds"])) > DECISION_GOAL_SECONDS)


if __name__ == "__main__":
    main()
