"""Load and steps from heartbeats."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.core.facts import StageReached
from headway.core.job import Job
from headway.core.protocol import Heartbeat
from headway.core.worker import WorkerLoad
from tests.unit.server.still_server import StillServer, still_server

pytestmark = pytest.mark.anyio
LOAD = WorkerLoad(cpu_fraction=0.5, memory_used_bytes=1, memory_bytes=2)


def a_heartbeat(load: WorkerLoad | None = None, steps: dict[str, int] | None = None) -> Heartbeat:
    return Heartbeat(counter=1, last_answer=0, load=load, steps=steps or {})


async def training(server: StillServer, began_at: float, total_steps: int | None) -> Job:
    """A job of two workers with a time of its first step and a declared number of steps."""
    for name in "ab":
        await server.a_worker(name)
    job = await server.a_job(world_size=2)
    await server.scheduler.schedule()
    job = await server.run(await server.now(job))
    return await server.report(job, "a", StageReached(stage="first_step", at=began_at, total_steps=total_steps))


async def test_the_newest_load_is_kept_until_its_worker_is_lost(tmp_path: Path) -> None:
    async with still_server(tmp_path) as server:
        server.telemetry.heard("a", a_heartbeat(load=LOAD))
        server.telemetry.heard("a", a_heartbeat())
        assert server.telemetry.load("a") == LOAD, "a heartbeat without a load does not change it"
        server.telemetry.forget("a")
        assert server.telemetry.load("a") is None


async def test_the_remaining_time_follows_from_the_steps_so_far(tmp_path: Path) -> None:
    """Given 10 of 40 steps in 20 seconds, the other 30 take a minute. The rank with the most steps counts."""
    async with still_server(tmp_path) as server:
        job = await training(server, server.clock.now(), total_steps=40)
        began_at = job.attempt.stages["first_step"] if job.attempt else 0.0
        server.clock.ahead_seconds = began_at + 20 - server.clock.machine_now()
        assert server.telemetry.remaining_seconds() == {}
        server.telemetry.heard("a", a_heartbeat(steps={job.id: 9}))
        server.telemetry.heard("b", a_heartbeat(steps={job.id: 10}))
        assert server.telemetry.remaining_seconds() == {job.id: pytest.approx(60, abs=1)}
        server.telemetry.forget("a")
        server.telemetry.forget("b")
        assert server.telemetry.remaining_seconds() == {}


async def test_a_job_without_a_number_of_steps_has_no_remaining_time(tmp_path: Path) -> None:
    async with still_server(tmp_path) as server:
        job = await training(server, server.clock.now(), total_steps=None)
        server.telemetry.heard("a", a_heartbeat(steps={job.id: 10}))
        assert server.telemetry.remaining_seconds() == {}
