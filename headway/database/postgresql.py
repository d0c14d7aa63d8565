"""PostgreSQL, by asyncpg: `postgresql://user:password@host/database?sslmode=verify-full&sslrootcert=/path/ca.pem`.

The query is libpq's: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
from sqlalchemy import Text, cast, func, text
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from headway.core.problem import Problem, clock_problems
from headway.database import tables
from headway.database.base import READ_PATIENCE_SECONDS, reading
from headway.database.connecting import Connecting
from headway.database.request_audit import entries_stored
from headway.database.schema import MAIN, STREAMS, migrate, stored_revision
from headway.database.sql import SqlDatabase
from headway.database.sql_connections import translate_errors
from headway.database.sql_streams import SqlStreams
from headway.errors import SettingInvalid, Unavailable
from headway.redaction import redacted

_SCHEMAS = (MAIN, STREAMS._replace(version_table="alembic_version_streams"))
_MIGRATION_LOCK = 0x68656164776179  # "headway"
_CONNECTIONS, _READERS = 8, 4
"""Connections per schema: for the server's own work and writes, and for users' reads."""
_CONNECT_SECONDS = 5.0
_STATEMENT_SECONDS = 15.0
_LEAST_VERSION = 120_000


class PostgresqlDatabase(SqlDatabase):
    """Several servers may share it. A row names the leader."""

    shared = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._engines: dict[tuple[str, bool], AsyncEngine] = {}
        self._connecting: Connecting[Any] = Connecting(lambda connection: connection.close(timeout=_CONNECT_SECONDS))
        self.streams = SqlStreams(partial(self._transaction, STREAMS.name), insert, self.damage)

    async def open(self) -> None:
        for name in (MAIN.name, STREAMS.name):
            for of_users, connections in ((False, _CONNECTIONS), (True, _READERS)):
                self._engines[name, of_users] = create_async_engine(
                    "postgresql+asyncpg://",
                    async_creator=self._connect,
                    pool_size=connections,
                    max_overflow=0,
                    pool_timeout=READ_PATIENCE_SECONDS if of_users else _STATEMENT_SECONDS,
                )
        try:
            async with self._main(write=True) as connection:
                for schema in _SCHEMAS:
                    if await connection.run_sync(stored_revision, schema) != schema.revision:
                        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
                        await connection.run_sync(migrate, schema)
        except Unavailable as error:
            await self.close()
            raise SettingInvalid(f"HEADWAY_DATABASE_URL is {redacted(self._url)}: {error}") from error

    async def close(self) -> None:
        async with AsyncExitStack() as stack:
            for engine in self._engines.values():
                stack.push_async_callback(engine.dispose)
        self._engines.clear()
        await self._connecting.end()

    async def _connect(self) -> Any:
        connect = asyncpg.connect(dsn=self._url, timeout=_CONNECT_SECONDS, command_timeout=_STATEMENT_SECONDS)
        try:
            return await self._connecting.finish(connect)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ssl.SSLError) as error:
            raise Unavailable(f"PostgreSQL cannot be reached: {error or 'it does not answer'}.") from error
        except (ValueError, TypeError) as error:
            raise SettingInvalid(f"HEADWAY_DATABASE_URL is {redacted(self._url)}: {error}") from error

    def _insert(self, table: Any) -> Any:
        return insert(table)

    def _labelled(self, project: str, line: str) -> Any:
        lines = func.string_to_array(tables.jobs.c.labels, "\n")  # as the index has it
        return lines.op("@>")(cast([line.strip()], ARRAY(Text)))

    def _main(self, *, write: bool) -> Any:
        return self._transaction(MAIN.name, write=write)

    @asynccontextmanager
    async def _transaction(self, name: str, *, write: bool) -> AsyncIterator[AsyncConnection]:
        of_users = reading.get() and not write
        async with translate_errors():
            try:
                async with self._engines[name, of_users].begin() as connection:
                    entries = await self._store_waiting_entries(connection) if write and name == MAIN.name else []
                    yield connection
                entries_stored(entries)
            except (OSError, TimeoutError) as error:
                raise Unavailable(f"PostgreSQL does not answer: {error or 'it takes too long'}.") from error

    async def problems(self) -> list[Problem]:
        connection = await self._connect()
        try:
            return [*await _setup_problems(connection), *await _clock_problems(connection)]
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise Unavailable(f"PostgreSQL does not answer: {error}") from error
        finally:
            await connection.close()


async def _setup_problems(connection: Any) -> list[Problem]:
    found = []
    version = int(await connection.fetchval("SHOW server_version_num"))
    if version < _LEAST_VERSION:
        found.append(Problem(f"PostgreSQL has version {version // 10_000}.", "Update it to 12 or newer."))
    if not await connection.fetchval("SELECT has_schema_privilege(current_user, current_schema(), 'CREATE')"):
        user = await connection.fetchval("SELECT current_user")
        what = f"User {user} may not create tables in PostgreSQL. Upgrades need this."
        found.append(Problem(what, f"GRANT CREATE ON SCHEMA public TO {user};"))
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        found.append(Problem("This PostgreSQL is a read-only standby.", "Name the primary's address."))
    if await connection.fetchval("SHOW synchronous_commit") == "off":
        what = "synchronous_commit is off: a crash of PostgreSQL can lose committed data."
        found.append(Problem(what, "ALTER DATABASE headway SET synchronous_commit TO on;"))
    return found


async def _clock_problems(connection: Any) -> list[Problem]:
    theirs = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())")
    return clock_problems("PostgreSQL's", float(theirs), time.time())
