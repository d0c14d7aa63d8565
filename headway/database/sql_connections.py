"""Shared by all SQL code: transactions, the dialect's upsert, reading rows that may be damaged, and errors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from sqlalchemy import LargeBinary, Row, Text, and_, cast, literal
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from headway.core.audit import AuditEntry
from headway.database import tables
from headway.database.base import OVERLOADED, Database
from headway.database.damage import foreign_bytes
from headway.database.request_audit import waiting_entries
from headway.errors import Overloaded, Unavailable

_Value = TypeVar("_Value")


class SqlConnections(Database):
    """The interface that a SQL database supplies."""

    @abstractmethod
    def _insert(self, table: Any) -> Any:
        """The dialect's INSERT with ON CONFLICT."""

    @abstractmethod
    def _main(self, *, write: bool) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction on the main tables. One that writes stores the audit entries of its request, too."""

    async def _store_waiting_entries(self, connection: AsyncConnection) -> list[AuditEntry]:
        """Store what the request at work has for the audit; it counts as stored once the transaction is done."""
        entries = waiting_entries()
        if entries:
            rows = [audit_row(entry) for entry in entries]
            await connection.execute(self._insert(tables.audit).on_conflict_do_nothing(), rows)
        return entries

    async def _select_readable(
        self, query: Any, limit: int | None, read: Callable[[Row[Any]], _Value | None]
    ) -> list[_Value]:
        """Up to `limit` readable rows. It replaces damaged ones, so that a page does not look like the last."""
        asked = limit
        while True:
            async with self._main(write=False) as connection:
                rows = (await connection.execute(query.limit(asked))).all()
            found = [one for row in rows if (one := read(row)) is not None]
            if limit is None or asked is None or len(found) >= limit or len(rows) < asked:
                return found[:limit]
            asked *= 2


def audit_row(entry: AuditEntry) -> dict[str, Any]:
    """The row of an entry of the audit."""
    document = {"document": entry.model_dump_json()}
    return {"id": entry.id, "project": entry.project, "user_name": entry.user, **document}


def has_row_key(columns: Any, row_id: str) -> Any:
    """The condition that these columns have the values of a text from `row_key`."""
    return and_(*(has_key(column, key) for column, key in zip(columns, row_id.split("/"), strict=True)))


def has_key(column: Any, key: str) -> Any:
    """The condition that a column has the value of a text from `row_key`."""
    foreign = foreign_bytes(key)
    if foreign is not None:
        return cast(column, LargeBinary()) == literal(foreign, LargeBinary())
    try:
        return column == column.type.python_type(key)
    except ValueError:
        return column == literal(key, Text())


@asynccontextmanager
async def translate_errors() -> AsyncIterator[None]:
    """Converts the library's errors to Headway's and keeps the cause. Callers handle integrity errors themselves."""
    try:
        yield
    except IntegrityError:
        raise
    except PoolTimeout as error:
        raise Overloaded(OVERLOADED) from error
    except DBAPIError as error:
        raise Unavailable(f"The database does not answer: {error.orig}") from error
