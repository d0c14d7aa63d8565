"""Reports in SQL: the streams of jobs, with their own connection pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from sqlalchemy import Row, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from headway.core.damaged import DamagedRow, RowKind
from headway.database import tables
from headway.database.damage import Damage, row_key
from headway.database.sql_connections import has_key, has_row_key
from headway.database.streams import MetricsSection, ReportIndex, StreamStore
from headway.formats.reports import Report, decode_facts, encode_facts


class Transaction(Protocol):
    """A transaction on the streams' table."""

    def __call__(self, *, write: bool) -> AbstractAsyncContextManager[AsyncConnection]: ...


class SqlStreams(StreamStore):
    """One table of reports and chunks."""

    def __init__(self, transaction: Transaction, insert: Callable[[Any], Any], damage: Damage) -> None:
        """`insert`: the dialect's INSERT with ON CONFLICT."""
        self._transaction = transaction
        self._insert = insert
        self._damage = damage

    async def insert(self, reports: Sequence[Report]) -> None:
        async with self._transaction(write=True) as connection:
            insert = self._insert(tables.reports).on_conflict_do_nothing()
            await connection.execute(insert, [_report_columns(report) for report in reports])

    async def index(self, job_id: str, attempt: int) -> list[ReportIndex]:
        table = tables.reports
        columns = (table.c.worker, table.c.number, table.c.through, table.c.last, func.length(table.c.facts) > 2)
        query = select(*columns).where((table.c.job == job_id) & (table.c.attempt == attempt))
        async with self._transaction(write=False) as connection:
            rows = await connection.execute(query.order_by(table.c.worker, table.c.number))
            return [ReportIndex(row[0], row[1], row[2], bool(row[3]), bool(row[4])) for row in rows]

    async def reports(
        self, job_id: str, attempt: int, worker: str, after: int, through: int, limit: int
    ) -> list[Report]:
        table = tables.reports
        where = (table.c.job == job_id) & (table.c.attempt == attempt) & (table.c.worker == worker)
        where &= (table.c.through > after) & (table.c.number <= through)
        async with self._transaction(write=False) as connection:
            rows = (await connection.execute(select(table).where(where).order_by(table.c.number).limit(limit))).all()
        return [self._report(row) for row in rows]

    async def reports_before(self, job_id: str, attempt: int, worker: str, before: int, limit: int) -> list[Report]:
        table = tables.reports
        where = (table.c.job == job_id) & (table.c.attempt == attempt) & (table.c.worker == worker)
        query = select(table).where(where & (table.c.number < before)).order_by(table.c.number.desc()).limit(limit)
        async with self._transaction(write=False) as connection:
            rows = (await connection.execute(query)).all()
        return [Report(one.job, one.attempt, one.worker, one.number, one.through, logs=one.logs) for one in rows]

    def _report(self, row: Row[Any]) -> Report:
        """Leaves out facts that cannot be read, and keeps the report's streams."""
        row_id = row_key(row.job, row.attempt, row.worker, row.number)
        facts = self._damage.read(RowKind.REPORT, row_id, "", lambda: decode_facts(row.facts)) or ()
        return Report(row.job, row.attempt, row.worker, row.number, row.through, row.last, facts, row.logs, row.metrics)

    async def metrics_sections(self, job_id: str, attempt: int) -> list[MetricsSection]:
        table = tables.reports
        where = (table.c.job == job_id) & (table.c.attempt == attempt) & (func.length(table.c.metrics) > 0)
        async with self._transaction(write=False) as connection:
            columns = (table.c.worker, table.c.through, table.c.metrics)
            query = select(*columns).where(where).order_by(table.c.worker, table.c.number)
            return [MetricsSection(*row) for row in await connection.execute(query)]

    async def compact(self, chunk: Report) -> None:
        table = tables.reports
        where = (table.c.job == chunk.job) & (table.c.attempt == chunk.attempt) & (table.c.worker == chunk.worker)
        where &= (table.c.number >= chunk.number) & (table.c.through <= chunk.through)
        async with self._transaction(write=True) as connection:
            await connection.execute(delete(table).where(where))
            await connection.execute(table.insert().values(**_report_columns(chunk)))

    async def sizes(self) -> dict[str, int]:
        table = tables.reports
        size = func.sum(func.length(table.c.facts) + func.length(table.c.logs) + func.length(table.c.metrics))
        async with self._transaction(write=False) as connection:
            rows = await connection.execute(select(table.c.job, size).group_by(table.c.job))
            return {row_key(job): int(size_bytes) for job, size_bytes in rows}

    async def delete(self, job_id: str) -> None:
        async with self._transaction(write=True) as connection:
            await connection.execute(delete(tables.reports).where(tables.reports.c.job == job_id))

    async def delete_damaged(self, row: DamagedRow) -> None:
        table = tables.reports
        is_job = row.kind is RowKind.JOB
        where = has_key(table.c.job, row.id) if is_job else has_row_key(table.primary_key.columns, row.id)
        async with self._transaction(write=True) as connection:
            await connection.execute(delete(table).where(where))
        if not is_job:
            self._damage.forget(row.kind, row.id)


def _report_columns(report: Report) -> dict[str, Any]:
    return {
        "job": report.job,
        "attempt": report.attempt,
        "worker": report.worker,
        "number": report.number,
        "through": report.through,
        "last": report.last,
        "facts": encode_facts(report.facts),
        "logs": report.logs,
        "metrics": report.metrics,
    }
