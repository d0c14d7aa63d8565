"""Long-running workers that register themselves: `fleet:`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from headway.core.worker import Worker, WorkerDescription, WorkerState
from headway.database.base import Database
from headway.engines.base import Engine
from headway.errors import Conflict, NotFound


class FleetEngine(Engine):
    """The registered workers, kept in the database and mirrored in memory."""

    def __init__(self, url: str, database: Database) -> None:
        self._database = database
        self._workers: dict[str, Worker] = {}
        self._changing = asyncio.Lock()

    async def open(self) -> None:
        self._workers = {worker.id: worker for worker in await self._database.workers()}

    async def register(self, worker_id: str, description: WorkerDescription, former: str | None, now: float) -> Worker:
        worker = Worker(**description.model_dump(), id=worker_id, former=former, registered_at=now)
        before = self._workers.get(former) if former is not None else None
        if before is not None:
            kept = {"draining": before.draining, "faults": before.faults, "quarantine": before.quarantine}
            worker = worker.model_copy(update=kept)
        await self._store(worker)
        return worker

    async def lose(self, worker_id: str, because: str, now: float) -> bool:
        async with self._changing:
            worker = self.worker(worker_id)
            if worker.state is WorkerState.LOST:
                return False
            lost = {"state": WorkerState.LOST, "lost_at": now, "lost_because": because}
            await self._store(worker.model_copy(update=lost))
            return True

    async def drain(self, worker_id: str, *, draining: bool) -> None:
        await self._change(worker_id, lambda worker: worker.model_copy(update={"draining": draining}))

    async def judge(self, worker_id: str, change: Callable[[Worker], Worker]) -> Worker:
        return await self._change(worker_id, change)

    async def _change(self, worker_id: str, change: Callable[[Worker], Worker]) -> Worker:
        """One change at a time, or a worker that is being lost would come back."""
        async with self._changing:
            worker = self.worker(worker_id)
            if worker.state is WorkerState.LOST:
                raise Conflict(f"Worker {worker.name} is lost.")
            changed = change(worker)
            if changed != worker:
                await self._store(changed)
            return changed

    def worker(self, worker_id: str) -> Worker:
        if worker_id not in self._workers:
            raise NotFound(f"Worker {worker_id} does not exist.")
        return self._workers[worker_id]

    def workers(self) -> list[Worker]:
        ready = [worker for worker in self._workers.values() if worker.state is WorkerState.READY]
        return sorted(ready, key=lambda worker: (worker.name, worker.id))

    async def _store(self, worker: Worker) -> None:
        await self._database.put_worker(worker)
        self._workers[worker.id] = worker
