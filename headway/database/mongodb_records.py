"""Attempts, checkpoint parts and events of jobs, and workers, in MongoDB."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pymongo import ASCENDING, DESCENDING

from headway.core.attempt import Attempt
from headway.core.checkpoint import CheckpointPart
from headway.core.damaged import RowKind
from headway.core.job import Event
from headway.core.worker import Worker, WorkerState
from headway.database.mongodb_collections import MongodbCollections
from headway.database.mongodb_connections import translated
from headway.database.mongodb_documents import part_key

_REMEMBERED_LOST_WORKERS = 100


class MongodbRecords(MongodbCollections):
    """Implements the contract for attempts, checkpoint parts, events and workers."""

    async def put_attempt(self, job_id: str, attempt: Attempt) -> None:
        await self._put_missing("attempts", [(job_id, attempt.number, attempt.model_dump_json())])

    async def attempts(self, job_id: str) -> list[Attempt]:
        read = self._reader(RowKind.ATTEMPT, Attempt)
        return await self._find_readable("attempts", {"job": job_id}, [("number", ASCENDING)], 0, read)

    async def put_checkpoint_part(self, job_id: str, part: CheckpointPart) -> None:
        place = {"job": job_id, "attempt": part.attempt, "step": part.step, "rank": part.rank}
        async with translated():
            await self._connections.upsert(
                "checkpoint_parts", part_key(job_id, part), {**place, "document": part.model_dump_json()}
            )

    async def checkpoint_parts(self, job_id: str) -> list[CheckpointPart]:
        order = [("attempt", ASCENDING), ("step", ASCENDING), ("rank", ASCENDING)]
        read = self._reader(RowKind.CHECKPOINT, CheckpointPart)
        return await self._find_readable("checkpoint_parts", {"job": job_id}, order, 0, read)

    async def delete_checkpoint_part(self, job_id: str, part: CheckpointPart) -> None:
        async with translated():
            await self._connections.collection("checkpoint_parts").delete_one({"_id": part_key(job_id, part)})

    async def insert_events(self, events: Sequence[tuple[str, Event]]) -> None:
        await self._put_missing("events", [(job, event.number, event.model_dump_json()) for job, event in events])

    async def events(self, job_id: str, after: int, limit: int) -> list[Event]:
        where, read = {"job": job_id, "number": {"$gt": after}}, self._reader(RowKind.EVENT, Event)
        return await self._find_readable("events", where, [("number", ASCENDING)], limit, read)

    async def _put_missing(self, collection: str, numbered: Iterable[tuple[str, int, str]]) -> None:
        documents = [
            {"_id": f"{job}/{number}", "job": job, "number": number, "document": document}
            for job, number, document in numbered
        ]
        async with translated():
            await self._connections.insert_missing(collection, documents)

    async def put_worker(self, worker: Worker) -> None:
        fields = {"state": worker.state.value, "registered_at": worker.registered_at}
        async with translated():
            await self._connections.upsert("workers", worker.id, {**fields, "document": worker.model_dump_json()})
        self.damage.forget(RowKind.WORKER, worker.id)

    async def workers(self) -> list[Worker]:
        async with translated():
            workers = self._connections.collection("workers")
            found = [one async for one in workers.find({"state": WorkerState.READY.value})]
            lately = workers.find(
                {"state": WorkerState.LOST.value}, sort=[("registered_at", DESCENDING)], limit=_REMEMBERED_LOST_WORKERS
            )
            found += [one async for one in lately]
        read = self._reader(RowKind.WORKER, Worker)
        return [worker for one in found if (worker := read(one)) is not None]
