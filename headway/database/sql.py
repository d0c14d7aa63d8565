"""Implements the contract with SQLAlchemy Core, for every SQL database. A backend adds connections and its upsert."""

from __future__ import annotations

from sqlalchemy import delete, select, update

from headway.core.damaged import DamagedRow, RowKind
from headway.core.installation import Installation, Leadership
from headway.database import tables
from headway.database.sql_accounts import SqlAccounts
from headway.database.sql_connections import has_key, has_row_key
from headway.database.sql_datasets import SqlDatasets
from headway.database.sql_jobs import OF_A_JOB, SqlJobs
from headway.database.sql_records import SqlRecords

_TABLES = {
    RowKind.ATTEMPT: tables.attempts,
    RowKind.CHECKPOINT: tables.checkpoint_parts,
    RowKind.EVENT: tables.events,
    RowKind.WORKER: tables.workers,
    RowKind.DATASET: tables.datasets,
    RowKind.ACCOUNT: tables.accounts,
    RowKind.AUDIT: tables.audit,
}


class SqlDatabase(SqlJobs, SqlRecords, SqlDatasets, SqlAccounts):
    """Jobs and their records use one connection pool, streams another, so that neither waits for the other."""

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

    async def delete_row(self, row: DamagedRow) -> None:
        async with self._main(write=True) as connection:
            if row.kind is RowKind.JOB:
                await connection.execute(delete(tables.jobs).where(has_key(tables.jobs.c.id, row.id)))
                for table in OF_A_JOB:
                    await connection.execute(delete(table).where(has_key(table.c.job, row.id)))
            else:
                table = _TABLES[row.kind]
                await connection.execute(delete(table).where(has_row_key(table.primary_key.columns, row.id)))
        self.damage.forget(row.kind, row.id)
