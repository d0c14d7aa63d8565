"""The workers that the server knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.core.worker import WorkerDescription, WorkerState
from headway.database.sqlite import SqliteDatabase
from headway.errors import NotFound
from headway.server.worker_registry import WorkerRegistry

pytestmark = pytest.mark.anyio


async def test_workers_are_kept_until_they_are_lost(tmp_path: Path) -> None:
    description = WorkerDescription(name="one", slots=2, threads_per_slot=1, host="127.0.0.1", port=1)
    database = SqliteDatabase(f"sqlite://{tmp_path}/headway.db")
    await database.open()
    registry = WorkerRegistry(database)
    await registry.open()
    await registry.register("w-1", description, None, 1.0)
    await registry.register("w-2", description.model_copy(update={"name": "a"}), "w-1", 2.0)
    assert [worker.id for worker in registry.workers()] == ["w-2", "w-1"]
    assert await registry.lose("w-1", "it left", 3.0)
    assert not await registry.lose("w-1", "again", 4.0)
    with pytest.raises(NotFound):
        await registry.lose("w-3", "x", 5.0)
    restarted = WorkerRegistry(database)
    await restarted.open()
    assert [worker.id for worker in restarted.workers()] == ["w-2"]
    assert restarted.worker("w-1").state is WorkerState.LOST
    assert restarted.worker("w-1").lost_because == "it left"
    await database.close()
