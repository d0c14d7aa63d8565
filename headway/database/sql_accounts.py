"""Accounts and the audit, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import Row, delete, select, update

from headway.core.account import AccountRecord, kind_of
from headway.core.audit import AuditEntry
from headway.core.damaged import RowKind
from headway.database import tables
from headway.database.base import AuditQuery
from headway.database.damage import row_key
from headway.database.sql_connections import SqlConnections, audit_row

_Account = TypeVar("_Account", bound=AccountRecord)


class SqlAccounts(SqlConnections):
    """The part of the contract that is about accounts and the audit."""

    async def accounts(self, kind: type[_Account]) -> list[_Account]:
        table, name = tables.accounts, kind_of(kind)
        async with self._main(write=False) as connection:
            rows = (await connection.execute(select(table).where(table.c.kind == name))).all()
        documents = sorted((row_key(name, row.id), row.document) for row in rows)
        return self.damage.read_all(RowKind.ACCOUNT, kind, documents)

    async def put_account(self, record: AccountRecord) -> bool:
        table = tables.accounts
        key = {"kind": kind_of(type(record)), "id": record.id}
        values = {"version": record.version, "document": record.model_dump_json()}
        async with self._main(write=True) as connection:
            if record.version == 1:
                insert = self._insert(table).values(**key, **values).on_conflict_do_nothing()
                return bool((await connection.execute(insert)).rowcount)
            changed = update(table).where(_stored(record, record.version - 1)).values(**values)
            return bool((await connection.execute(changed)).rowcount)

    async def delete_account(self, record: AccountRecord) -> bool:
        async with self._main(write=True) as connection:
            deleted = await connection.execute(delete(tables.accounts).where(_stored(record, record.version)))
            return bool(deleted.rowcount)

    async def insert_audit(self, entries: Sequence[AuditEntry]) -> None:
        rows = [audit_row(entry) for entry in entries]
        async with self._main(write=True) as connection:
            await connection.execute(self._insert(tables.audit).on_conflict_do_nothing(), rows)

    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        table = tables.audit
        selected = select(table).order_by(table.c.id.desc())
        if query.project is not None:
            selected = selected.where(table.c.project == query.project)
        if query.user is not None:
            selected = selected.where(table.c.user_name == query.user)
        if query.before is not None:
            selected = selected.where(table.c.id < query.before)
        return await self._select_readable(selected, query.limit, self._entry)

    def _entry(self, row: Row[Any]) -> AuditEntry | None:
        row_id = row_key(row.id)
        return self.damage.read(RowKind.AUDIT, row_id, "", lambda: AuditEntry.model_validate_json(row.document))


def _stored(record: AccountRecord, version: int) -> Any:
    table = tables.accounts
    place = (table.c.kind == kind_of(type(record))) & (table.c.id == record.id)
    return place & (table.c.version == version)
