"""Jobs in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from headway.core.damaged import RowKind
from headway.core.job import Job
from headway.core.job_query import JobQuery, JobSort
from headway.core.status import JobStatus, shown_status
from headway.database import tables
from headway.database.base import StoredJob, key_reused, name_taken
from headway.database.damage import row_key
from headway.database.job_documents import job_of_text
from headway.database.job_index import index_fields
from headway.database.sql_connections import SqlConnections
from headway.errors import NotFound

OF_A_JOB = (tables.attempts, tables.events, tables.checkpoint_parts)
"""The tables whose rows are deleted with their job."""


class SqlJobs(SqlConnections):
    """Implements the contract for jobs."""

    async def insert_job(self, job: Job) -> Job:
        values = {**job_columns(job), "id": job.id, "project": job.project, "name": job.name, "deleted": False}
        values |= {"idempotency_key": job.idempotency_key, "body_hash": job.body_hash}
        values |= {"priority": job.spec.priority}
        try:
            async with self._main(write=True) as connection:
                where = (tables.jobs.c.project == job.project) & (tables.jobs.c.idempotency_key == job.idempotency_key)
                if (await connection.execute(select(tables.jobs.c.id).where(where))).first():
                    raise key_reused(job)
                result = await connection.execute(tables.jobs.insert().values(**values))
                sequence: int = result.inserted_primary_key[0] if result.inserted_primary_key else 0
                return job.model_copy(update={"sequence": sequence})
        except IntegrityError as error:
            cause = error
        if await self.job_with_key(job.project, job.idempotency_key) is not None:
            raise key_reused(job) from cause  # another writer inserted it after the check
        raise name_taken(job) from cause

    async def replace_job(self, job: Job) -> bool:
        async with self._main(write=True) as connection:
            replaced = await _compare_and_set(connection, job, job_columns(job))
        self.damage.forget(RowKind.JOB, job.id)
        return replaced

    async def delete_job(self, job: Job) -> bool:
        tombstone = {**job_columns(job), "name": None, "deleted": True, "unsettled": False}
        async with self._main(write=True) as connection:
            if not await _compare_and_set(connection, job, tombstone):
                return False
            for table in OF_A_JOB:
                await connection.execute(delete(table).where(table.c.job == job.id))
        self.damage.forget(RowKind.JOB, job.id)
        return True

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
            where &= table.c.sequence.in_(
                select(table.c.sequence).where(named)
            )  # an index contains both columns, so no row is read
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
        if len(found) < query.limit and query.sort is not JobSort.CREATED:  # jobs without the figure come last
            without = where & column.is_(None)
            if sequence is not None:
                without &= table.c.sequence < sequence
            ordered = select(table).where(without).order_by(table.c.sequence.desc())
            found += await self._select_jobs(ordered, query.limit - len(found))
        return found

    async def job_counts(self, project: str) -> dict[str, int]:
        table = tables.jobs
        kind = (table.c.status, table.c.hold)
        query = select(*kind, func.count()).where((table.c.project == project) & _alive()).group_by(*kind)
        counts: dict[str, int] = {}
        async with self._main(write=False) as connection:
            for status, hold, count in await connection.execute(query):
                shown = shown_status(status, hold=hold)
                counts[shown] = counts.get(shown, 0) + int(count)
        return counts

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
            raise self.damage.error(RowKind.JOB, row_key(row.id), row_key(row.project))
        return None if row is None else job

    async def _select_jobs(self, query: Any, limit: int | None = None) -> list[Job]:
        return await self._select_readable(query, limit, self._job)

    def _job(self, row: Row[Any]) -> Job | None:
        return self.damage.read(RowKind.JOB, row_key(row.id), row.name, lambda: _job(row), row_key(row.project))

    def _stored_job(self, row: Row[Any]) -> StoredJob | None:
        job = self._job(row)
        return None if job is None else StoredJob(job, bool(row.deleted))


async def _compare_and_set(connection: AsyncConnection, job: Job, columns: dict[str, Any]) -> bool:
    table = tables.jobs
    expected = (table.c.id == job.id) & (table.c.version == job.version - 1) & table.c.deleted.is_(False)
    return bool((await connection.execute(update(table).where(expected).values(**columns))).rowcount)


def _label_line(name: str, value: str) -> str:
    return f"\n{name}={value}\n"


def _alive() -> Any:
    return tables.jobs.c.deleted.is_(False)


def _job(row: Row[Any]) -> Job:
    return job_of_text(row.document).model_copy(update={"sequence": row.sequence})


def job_columns(job: Job) -> dict[str, Any]:
    """The columns that change with a job."""
    return {
        **index_fields(job),
        "document": job.model_dump_json(),
        "labels": "".join(_label_line(name, value) for name, value in job.labels.items()),
    }
