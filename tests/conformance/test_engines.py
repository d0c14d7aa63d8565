"""What every engine promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from headway.core.worker import WorkerDescription, WorkerState
from headway.engines.base import Engine
from headway.errors import NotFound
from headway.registry import backend
from tests.conformance.backends import run, schemes

pytestmark = pytest.mark.anyio


@pytest.fixture(params=schemes("engine"))
async def start(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Engine]]:
    """Makes the engine of a server's start; all share a database."""
    async with run("engine", request.param, tmp_path) as url, run("database", "sqlite", tmp_path) as database_url:
        database = backend("database", database_url)(database_url)
        await database.open()
        yield lambda: backend("engine", url)(url, database)
        await database.close()


async def test_an_engine_keeps_workers_until_they_are_lost(start: Callable[[], Engine]) -> None:
    description = WorkerDescription(name="one", slots=2, threads_per_slot=1, host="127.0.0.1", port=1)
    engine = start()
    await engine.open()
    await engine.register("w-1", description, None, 1.0)
    await engine.register("w-2", description.model_copy(update={"name": "a"}), "w-1", 2.0)
    assert [worker.id for worker in engine.workers()] == ["w-2", "w-1"]
    assert await engine.lose("w-1", "it left", 3.0)
    assert not await engine.lose("w-1", "again", 4.0)
    with pytest.raises(NotFound):
        await engine.lose("w-3", "x", 5.0)
    restarted = start()
    await restarted.open()
    assert [worker.id for worker in restarted.workers()] == ["w-2"]
    assert restarted.worker("w-1").state is WorkerState.LOST
    assert restarted.worker("w-1").lost_because == "it left"
