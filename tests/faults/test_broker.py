"""A broker that drops, duplicates, delays and reorders messages only costs time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvicorn

from headway.drill.hostile_server import HostileBroker
from headway.server.app import create_app
from headway.server.server import Server
from headway.server.startup import started
from headway.settings import Settings
from tests.faults.test_kills import COUNTING, assert_nothing_lost_or_doubled
from tests.fleet import Fleet, ended

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_hostile_broker_costs_only_time(tmp_path: Path, seed: int) -> None:
    with Fleet(tmp_path) as fleet:
        settings = Settings(home=fleet.home, port=fleet.port, heartbeat_seconds=0.3)
        broker = HostileBroker(seed)
        server = Server(settings, embedded=broker)
        config = uvicorn.Config(
            create_app(server), port=fleet.port, lifespan="off", log_level="warning", ws="websockets-sansio"
        )  # fmt: skip
        http = uvicorn.Server(config)
        http.install_signal_handlers = lambda: None
        async with started(server):
            serving = asyncio.create_task(http.serve())
            while not http.started:
                await asyncio.sleep(0.01)
            fleet.start_worker("one", slots=2)
            fleet.start_worker("two", slots=2)
            await asyncio.to_thread(fleet.wait_for_workers, 2)
            job = await asyncio.to_thread(fleet.script, COUNTING, "300", "0.02", world_size=4)
            job = await asyncio.to_thread(ended, job)
            attempts = await asyncio.to_thread(job.attempts)
            assert [one["reason"] for one in attempts] == ["completed"], attempts
            await asyncio.to_thread(assert_nothing_lost_or_doubled, job, 300, 4)
            assert broker.dropped
            assert broker.doubled
            assert broker.delayed
            http.should_exit = True
            await serving
