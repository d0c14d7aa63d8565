"""The contract over SQLAlchemy Core, for every SQL database; a backend adds connections and its upsert."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import LargeBinary, Row, Text, and_, delete, literal, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from headway.core.attempt import Attempt
from headway.core.checkpoint import CheckpointPart
from headway.core.damaged import DamagedRow, RowKind
from headway.core.installation import Installation, Leadership
from headway.core.job import Event, Job
from headway.core.job_query import JobQuery, JobSort, sort_values
from headway.core.status import JobStatus
from headway.core.worker import Worker, WorkerState
from headway.database import tables
from headway.database.base import OVERLOADED, StoredJob, key_reused, name_taken
from headway.database.damage import row_key
from headway.database.sql_datasets import SqlDatasets
from headway.database.sql_streams import SqlStreams
from headway.errors import NotFound, Overloaded, Unavailable

_REMEMBERED_LOST_WORKERS = 100
_TABLES = {
    RowKind.ATTEMPT: tables.attempts,
    RowKind.CHECKPOINT: tables.checkpoint_parts,
    RowKind.EVENT: tables.events,
    RowKind.REPORT: tables.reports,
    RowKind.WORKER: tables.workers,
    RowKind.DATASET: tables.datasets,
}
_BLOB_KEY = re.compile("x'([0-9a-f]{2})*'")
_Value = TypeVar("_Value")


class SqlDatabase(SqlStreams, SqlDatasets):
    """Jobs and their kin on one connection pool, streams on another, so that neither waits for the other."""

    async def check(self) -> None:
        async with self._main(write=False) as connection:
            await connection.execute(select(1))

    async def installation(self, proposed: Installation) -> Installation:
        values = {"key": "installation", "version": 0, "document": proposed.model_dump_json()}
        async with self._main(write=True) as connection:
            await connection.execute(self._insert(tables.installation).values(**values).on_conflict_do_nothing())
        return await self.installation_if_any() or proposed

    async def installation_if_any(self) -> Installation | None:
        stored = await self._installation_document("installation")
        return None if stored is None else Installation.model_validate_json(stored)

    async def leadership(self) -> Leadership:
        stored = await self._installation_document("leadership")
        return Leadership() if stored is None else Leadership.model_validate_json(stored)

    async def _installation_document(self, key: str) -> str | None:
        table = tables.installation
        async with self._main(write=False) as connection:
            row = (await connection.execute(select(table.c.document).where(table.c.key == key))).first()
        return None if row is None else str(row.document)

    async def put_leadership(self, new: Leadership, known: Leadership) -> bool:
        table = tables.installation
        values = {"version": new.term, "document": new.model_dump_json()}
        async with self._main(write=True) as connection:
            if not known.term:
                insert = self._insert(table).values(key="leadership", **values).on_conflict_do_nothing()
                return bool((await connection.execute(insert)).rowcount)
            expected = (table.c.key == "leadership") & (table.c.document == known.model_dump_json())
            return bool((await connection.execute(update(table).where(expected).values(**values))).rowcount)

    async def insert_job(self, job: Job) -> Job:
        values = {**job_columns(job), "id": job.id, "project": job.project, "name": job.name, "deleted": False}
        values |= {"idempotency_key": job.idempotency_key, "body_hash": job.body_hash}
        values |= {"priority": job.spec.priority}
        async with self._main(write=True) as connection:
            where = (tables.jobs.c.project == job.project) & (tables.jobs.c.idempotency_key == job.idempotency_key)
            if (await connection.execute(select(tables.jobs.c.id).where(where))).first():
                raise key_reused(job)
            try:
                result = await connection.execute(tables.jobs.insert().values(**values))
                sequence: int = result.inserted_primary_key[0] if result.inserted_primary_key else 0
            except IntegrityError as error:
                cause = error
            else:
                return job.model_copy(update={"sequence": sequence})
            await connection.rollback()
        if await self.job_with_key(job.project, job.idempotency_key) is not None:
            raise key_reused(job) from cause  # another writer was first, between the look and the insert
        raise name_taken(job) from cause

    async def replace_job(self, job: Job) -> bool:
        return await self._compare_and_set(job, job_columns(job))

    async def delete_job(self, job: Job) -> bool:
        tombstone = {**job_columns(job), "name": None, "deleted": True, "unsettled": False}
        if not await self._compare_and_set(job, tombstone):
            return False
        async with self._main(write=True) as connection:
            for table in (tables.attempts, tables.events, tables.checkpoint_parts):
                await connection.execute(delete(table).where(table.c.job == job.id))
        await self.delete_streams(job.id)
        return True

    async def _compare_and_set(self, job: Job, columns: dict[str, Any]) -> bool:
        table = tables.jobs
        expected = (table.c.id == job.id) & (table.c.version == job.version - 1) & table.c.deleted.is_(False)
        async with self._main(write=True) as connection:
            result = await connection.execute(update(table).where(expected).values(**columns))
        self.damage.forget(RowKind.JOB, job.id)
        return bool(result.rowcount)

    async def job(self, job_id: str) -> Job:
        job = await self._select_job(_alive() & (tables.jobs.c.id == job_id))
        if job is None:
            raise NotFound(f"Job {job_id} does not exist. `headway jobs` lists those that do.")
        return job

    async def job_named(self, project: str, name: str) -> Job | None:
        where = _alive() & (tables.jobs.c.project == project) & (tables.jobs.c.name == name)
        return await self._select_job(where)

    async def job_with_key(self, project: str, idempotency_key: str) -> Job | None:
        where = (tables.jobs.c.project == project) & (tables.jobs.c.idempotency_key == idempotency_key)
        return await self._select_job(where)

    async def jobs(self, query: JobQuery) -> list[Job]:
        table = tables.jobs
        where = _alive() & (table.c.project == query.project)
        if query.statuses:
            where &= table.c.status.in_([status.value for status in query.statuses])
        if query.name:
            named = (table.c.project == query.project) & table.c.name.contains(query.name, autoescape=True)
            where &= table.c.sequence.in_(select(table.c.sequence).where(named))  # an index has both: no row is read
        if query.dataset is not None:
            where &= table.c.dataset == query.dataset
        for name, value in query.labels.items():
            where &= self._labelled(query.project, _label_line(name, value))
        if query.created_after is not None:
            where &= table.c.created >= query.created_after
        if query.created_before is not None:
            where &= table.c.created < query.created_before
        column = table.c[query.sort.value]
        figure, sequence = query.after or (None, None)
        found: list[Job] = []
        if query.after is None or figure is not None:
            order = column.desc() if query.descending else column.asc()
            with_figure = where & column.is_not(None)
            if figure is not None:
                further = column < figure if query.descending else column > figure
                with_figure &= further | ((column == figure) & (table.c.sequence < sequence))
            ordered = select(table).where(with_figure).order_by(order, table.c.sequence.desc())
            found = await self._select_jobs(ordered, query.limit)
            sequence = None
        if len(found) < query.limit and query.sort is not JobSort.CREATED:  # those without the figure come last
            without = where & column.is_(None)
            if sequence is not None:
                without &= table.c.sequence < sequence
            ordered = select(table).where(without).order_by(table.c.sequence.desc())
            found += await self._select_jobs(ordered, query.limit - len(found))
        return found

    def _labelled(self, project: str, line: str) -> Any:
        """Whether a job has the label."""
        table = tables.jobs
        labelled = (table.c.project == project) & table.c.labels.contains(line, autoescape=True)
        return table.c.sequence.in_(select(table.c.sequence).where(labelled))

    async def jobs_by_age(self, after: int, limit: int) -> list[StoredJob]:
        table = tables.jobs
        query = select(table).where(table.c.sequence > after).order_by(table.c.sequence)
        return await self._select_readable(query, limit, self._stored_job)

    async def queued_jobs(self, after: tuple[int, int] | None, limit: int) -> list[Job]:
        table = tables.jobs
        queue = select(table).where(_alive() & (table.c.status == JobStatus.QUEUED.value) & table.c.hold.is_(False))
        if after is not None:
            priority, sequence = after
            younger = (table.c.priority == priority) & (table.c.sequence > sequence)
            queue = queue.where((table.c.priority < priority) | younger)
        return await self._select_jobs(queue.order_by(table.c.priority.desc(), table.c.sequence), limit)

    async def unsettled_jobs(self) -> list[Job]:
        return await self._select_jobs(select(tables.jobs).where(_alive() & tables.jobs.c.unsettled.is_(True)))

    async def _select_job(self, where: Any) -> Job | None:
        async with self._main(write=False) as connection:
            row = (await connection.execute(select(tables.jobs).where(where))).first()
        if row is not None and (job := self._job(row)) is None:
            raise self.damage.error(RowKind.JOB, row_key(row.id))
        return None if row is None else job

    async def _select_jobs(self, query: Any, limit: int | None = None) -> list[Job]:
        return await self._select_readable(query, limit, self._job)

    async def _select_readable(
        self, query: Any, limit: int | None, read: Callable[[Row[Any]], _Value | None]
    ) -> list[_Value]:
        """Up to `limit` rows that can be read: damaged ones must not make a page look like the last."""
        asked = limit
        while True:
            async with self._main(write=False) as connection:
                rows = (await connection.execute(query.limit(asked))).all()
            found = [one for row in rows if (one := read(row)) is not None]
            if limit is None or asked is None or len(found) >= limit or len(rows) < asked:
                return found[:limit]
            asked *= 2

    def _job(self, row: Row[Any]) -> Job | None:
        return self.damage.read(RowKind.JOB, row_key(row.id), row.name, lambda: _job(row))

    def _stored_job(self, row: Row[Any]) -> StoredJob | None:
        job = self._job(row)
        return None if job is None else StoredJob(job, bool(row.deleted))

    async def delete_row(self, row: DamagedRow) -> None:
        async with self._main(write=True) as main, self._streams(write=True) as streams:
            if row.kind is RowKind.JOB:
                await main.execute(delete(tables.jobs).where(_has_key(tables.jobs.c.id, row.id)))
                for table in (tables.attempts, tables.events, tables.checkpoint_parts):
                    await main.execute(delete(table).where(_has_key(table.c.job, row.id)))
                await streams.execute(delete(tables.reports).where(_has_key(tables.reports.c.job, row.id)))
            else:
                table = _TABLES[row.kind]
                keys = zip(table.primary_key.columns, row.id.split("/"), strict=True)
                where = and_(*(_has_key(column, key) for column, key in keys))
                await (streams if row.kind is RowKind.REPORT else main).execute(delete(table).where(where))
        self.damage.forget(row.kind, row.id)

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


def _has_key(column: Any, key: str) -> Any:
    """The condition that a column has what `row_key` made this text of."""
    if _BLOB_KEY.fullmatch(key):
        return column == literal(bytes.fromhex(key[2:-1]), LargeBinary())
    try:
        return column == column.type.python_type(key)
    except ValueError:
        return column == literal(key, Text())


@asynccontextmanager
async def translate_errors() -> AsyncIterator[None]:
    """Library errors become ours, cause kept; an integrity error passes, for the caller knows what it means."""
    try:
        yield
    except IntegrityError:
        raise
    except PoolTimeout as error:
        raise Overloaded(OVERLOADED) from error
    except DBAPIError as error:
        raise Unavailable(f"The database does not answer: {error.orig}") from error


def _label_line(name: str, value: str) -> str:
    return f"\n{name}={value}\n"


def _alive() -> Any:
    return tables.jobs.c.deleted.is_(False)


def _job(row: Row[Any]) -> Job:
    return Job.model_validate_json(row.document).model_copy(update={"sequence": row.sequence})


def job_columns(job: Job) -> dict[str, Any]:
    """The columns that change with a job."""
    return {
        "status": job.status.value,
        "version": job.version,
        "unsettled": job.unsettled,
        "hold": job.hold,
        "document": job.model_dump_json(),
        "dataset": job.spec.dataset_name,
        "snapshot": job.spec.snapshot,
        "labels": "".join(_label_line(name, value) for name, value in job.labels.items()),
        **{sort.value: value for sort, value in sort_values(job).items()},
    }
