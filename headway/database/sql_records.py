"""Attempts, checkpoint parts and events of jobs, and workers, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, select

from headway.core.attempt import Attempt
from headway.core.checkpoint import CheckpointPart
from headway.core.damaged import RowKind
from headway.core.job import Event
from headway.core.worker import Worker, WorkerState
from headway.database import tables
from headway.database.damage import row_key
from headway.database.sql_connections import SqlConnections

_REMEMBERED_LOST_WORKERS = 100


class SqlRecords(SqlConnections):
    """Implements the contract for attempts, checkpoint parts, events and workers."""

    async def put_attempt(self, job_id: str, attempt: Attempt) -> None:
        values = {"job": job_id, "number": attempt.number, "document": attempt.model_dump_json()}
        async with self._main(write=True) as connection:
            await connection.execute(self._insert(tables.attempts).values(**values).on_conflict_do_nothing())

    async def attempts(self, job_id: str) -> list[Attempt]:
        table = tables.attempts
        async with self._main(write=False) as connection:
            query = select(table).where(table.c.job == job_id).order_by(table.c.number)
            rows = (await connection.execute(query)).all()
        documents = ((row_key(job_id, row.number), row.document) for row in rows)
        return self.damage.read_all(RowKind.ATTEMPT, Attempt, documents)

    async def put_checkpoint_part(self, job_id: str, part: CheckpointPart) -> None:
        key = {"job": job_id, "attempt": part.attempt, "step": part.step, "rank": part.rank}
        document = {"document": part.model_dump_json()}
        async with self._main(write=True) as connection:
            upsert = self._insert(tables.checkpoint_parts).values(**key, **document)
            await connection.execute(upsert.on_conflict_do_update(index_elements=list(key), set_=document))

    async def checkpoint_parts(self, job_id: str) -> list[CheckpointPart]:
        table = tables.checkpoint_parts
        query = select(table).where(table.c.job == job_id)
        async with self._main(write=False) as connection:
            rows = (await connection.execute(query.order_by(table.c.attempt, table.c.step, table.c.rank))).all()
        documents = ((row_key(job_id, row.attempt, row.step, row.rank), row.document) for row in rows)
        return self.damage.read_all(RowKind.CHECKPOINT, CheckpointPart, documents)

    async def delete_checkpoint_part(self, job_id: str, part: CheckpointPart) -> None:
        table = tables.checkpoint_parts
        where = (table.c.job == job_id) & (table.c.attempt == part.attempt)
        where &= (table.c.step == part.step) & (table.c.rank == part.rank)
        async with self._main(write=True) as connection:
            await connection.execute(delete(table).where(where))

    async def insert_events(self, events: Sequence[tuple[str, Event]]) -> None:
        rows = [{"job": job, "number": event.number, "document": event.model_dump_json()} for job, event in events]
        async with self._main(write=True) as connection:
            await connection.execute(self._insert(tables.events).on_conflict_do_nothing(), rows)

    async def events(self, job_id: str, after: int, limit: int) -> list[Event]:
        table = tables.events
        query = select(table).where((table.c.job == job_id) & (table.c.number > after)).order_by(table.c.number)
        return await self._select_readable(query, limit, self._event)

    def _event(self, row: Row[Any]) -> Event | None:
        row_id = row_key(row.job, row.number)
        return self.damage.read(RowKind.EVENT, row_id, "", lambda: Event.model_validate_json(row.document))

    async def put_worker(self, worker: Worker) -> None:
        document = {"state": worker.state.value, "document": worker.model_dump_json()}
        values = {"id": worker.id, "registered_at": worker.registered_at, **document}
        async with self._main(write=True) as connection:
            upsert = self._insert(tables.workers).values(**values)
            await connection.execute(upsert.on_conflict_do_update(index_elements=["id"], set_=document))
        self.damage.forget(RowKind.WORKER, worker.id)

    async def workers(self) -> list[Worker]:
        table = tables.workers
        ready = select(table).where(table.c.state == WorkerState.READY.value)
        lost = select(table).where(table.c.state == WorkerState.LOST.value)
        async with self._main(write=False) as connection:
            rows = list(await connection.execute(ready))
            rows += await connection.execute(
                lost.order_by(table.c.registered_at.desc()).limit(_REMEMBERED_LOST_WORKERS)
            )
        return self.damage.read_all(RowKind.WORKER, Worker, ((row_key(row.id), row.document) for row in rows))
