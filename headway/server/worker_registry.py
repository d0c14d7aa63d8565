"""The workers of every engine: kept in the database and mirrored in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from headway.core.worker import TakenSeat, Worker, WorkerDescription, WorkerState
from headway.database.base import Database
from headway.errors import Conflict, NotFound


class WorkerRegistry:
    """The registered workers of the fleet and of all allocations."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._workers: dict[str, Worker] = {}
        self._changing = asyncio.Lock()

    async def open(self) -> None:
        """Read the workers from the database."""
        self._workers = {worker.id: worker for worker in await self._database.workers()}

    async def register(
        self,
        worker_id: str,
        description: WorkerDescription,
        former: str | None,
        now: float,
        seat: TakenSeat | None = None,
    ) -> Worker:
        """Store a new worker. `former` is the id of its previous start, which the caller has declared lost."""
        worker = Worker(**description.model_dump(), id=worker_id, former=former, registered_at=now, seat=seat)
        before = self._workers.get(former) if former is not None else None
        if before is not None:
            kept = {"draining": before.draining, "faults": before.faults, "quarantine": before.quarantine}
            worker = worker.model_copy(update=kept)
        await self._store(worker)
        return worker

    async def lose(self, worker_id: str, because: str, now: float) -> bool:
        """Declare a worker lost. False if it was lost already. Raises NotFound."""
        async with self._changing:
            worker = self.worker(worker_id)
            if worker.state is WorkerState.LOST:
                return False
            lost = {"state": WorkerState.LOST, "lost_at": now, "lost_because": because}
            await self._store(worker.model_copy(update=lost))
            return True

    async def drain(self, worker_id: str, *, draining: bool) -> None:
        """Stop giving a worker assignments, or start again. Raises NotFound, Conflict for a lost one."""
        await self._change(worker_id, lambda worker: worker.model_copy(update={"draining": draining}))

    async def judge(self, worker_id: str, change: Callable[[Worker], Worker]) -> Worker:
        """Change a worker's faults and quarantine. Raises NotFound, Conflict for a lost one."""
        return await self._change(worker_id, change)

    async def _change(self, worker_id: str, change: Callable[[Worker], Worker]) -> Worker:
        """Change one worker at a time: otherwise a worker that is being declared lost could come back."""
        async with self._changing:
            worker = self.worker(worker_id)
            if worker.state is WorkerState.LOST:
                raise Conflict(f"Worker {worker.name} is lost.")
            changed = change(worker)
            if changed != worker:
                await self._store(changed)
            return changed

    def worker(self, worker_id: str) -> Worker:
        """The worker, also one that was lost since this server started. Raises NotFound."""
        if worker_id not in self._workers:
            raise NotFound(f"Worker {worker_id} does not exist.")
        return self._workers[worker_id]

    def lives_of(self, worker_id: str) -> frozenset[str]:
        """The ids of the worker's starts, as far as they are known."""
        ids: set[str] = set()
        current: str | None = worker_id
        while current is not None and current not in ids:
            ids.add(current)
            former = self._workers.get(current)
            current = former.former if former is not None else None
        return frozenset(ids)

    def fleet(self) -> list[Worker]:
        """The workers that are not lost and belong to no allocation, by name."""
        return [worker for worker in self.workers() if worker.seat is None]

    def workers(self) -> list[Worker]:
        """The workers that are not lost, by name. Draining ones are included, but take no assignments."""
        ready = [worker for worker in self._workers.values() if worker.state is WorkerState.READY]
        return sorted(ready, key=lambda worker: (worker.name, worker.id))

    async def _store(self, worker: Worker) -> None:
        await self._database.put_worker(worker)
        self._workers[worker.id] = worker
