"""SQLite in WAL mode, jobs in one file and streams in another: `sqlite:////srv/headway/headway.db`."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from sqlalchemy import event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from headway.database.base import READ_PATIENCE_SECONDS, reading
from headway.database.request_audit import entries_stored
from headway.database.schema import MAIN, STREAMS, migrate, stored_revision
from headway.database.sql import SqlDatabase
from headway.database.sql_connections import translate_errors
from headway.database.sql_streams import SqlStreams
from headway.errors import SettingInvalid, Unavailable
from headway.private_files import close, make_private

_BUSY_TIMEOUT_SECONDS = 10
_READERS = 3
_WRITE, _READ, _USER_READ = "write", "read", "user read"


class SqliteDatabase(SqlDatabase):
    """Only one server may use it: a lock beside the file refuses a second one.

    Writers use BEGIN IMMEDIATE, so that they wait at the start and do not fail later. Each commit is synced.
    """

    def __init__(self, url: str) -> None:
        self._path = Path(unquote(urlsplit(url).path))
        self._streams_path = self._path.with_name(f"{self._path.stem}-streams{self._path.suffix}")
        self._lock: BinaryIO | None = None
        self._engines: dict[tuple[str, str], AsyncEngine] = {}
        self._transactions = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.streams = SqlStreams(partial(self._transaction, STREAMS.name), insert, self.damage)

    async def open_to_read(self) -> None:
        if not self._path.is_file():
            raise SettingInvalid(f"HEADWAY_DATABASE_URL names {self._path}, which does not exist.")
        for schema, path in ((MAIN, self._path), (STREAMS, self._streams_path)):
            self._open_readers(schema.name, path)
            async with self._transaction(schema.name, write=False) as connection:
                if await connection.run_sync(stored_revision, schema) != schema.revision:
                    raise SettingInvalid(f"{path} is from an older version of Headway. Run `headway migrate` first.")

    async def open(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            make_private(self._path.with_suffix(".lock"))
            self._take_lock()
            for path in (self._path, self._streams_path):
                make_private(path)
                for beside in ("-wal", "-shm"):  # SQLite creates these with the file's mode
                    close(path.with_name(path.name + beside))
        except OSError as error:
            raise SettingInvalid(f"HEADWAY_DATABASE_URL names {self._path}, which cannot be used: {error}") from error
        for schema, path in ((MAIN, self._path), (STREAMS, self._streams_path)):
            self._engines[schema.name, _WRITE] = _engine(path, "IMMEDIATE", 1)
            self._open_readers(schema.name, path)
            async with self._transaction(schema.name, write=True) as connection:
                await connection.run_sync(migrate, schema)

    def _open_readers(self, name: str, path: Path) -> None:
        self._engines[name, _READ] = _engine(path, "DEFERRED", _READERS)
        self._engines[name, _USER_READ] = _engine(path, "DEFERRED", _READERS)

    async def close(self) -> None:
        engines, self._engines = self._engines, {}
        await self._idle.wait()  # otherwise their connections and locks outlive this object
        async with AsyncExitStack() as stack:
            for engine in engines.values():
                stack.push_async_callback(engine.dispose)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        lock = self._path.with_suffix(".lock").open("a+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read(20).decode(errors="replace").strip() or "unknown"
            lock.close()
            raise SettingInvalid(
                f"Database {self._path} is in use by another server (process {owner}). SQLite serves one: "
                "stop that server, or give this one another --home."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n".encode())
        lock.flush()
        self._lock = lock

    def _insert(self, table: Any) -> Any:
        return insert(table)

    def _main(self, *, write: bool) -> Any:
        return self._transaction(MAIN.name, write=write)

    @asynccontextmanager
    async def _transaction(self, name: str, *, write: bool) -> AsyncIterator[AsyncConnection]:
        engine = self._engines.get((name, _WRITE if write else _USER_READ if reading.get() else _READ))
        if engine is None:
            raise Unavailable(f"Database {self._path} is closed.")
        self._transactions += 1
        self._idle.clear()
        try:
            async with translate_errors(), engine.begin() as connection:
                entries = await self._store_waiting_entries(connection) if write and name == MAIN.name else []
                yield connection
            entries_stored(entries)
        finally:
            self._transactions -= 1
            if not self._transactions:
                self._idle.set()


class _Connection(sqlite3.Connection):
    """End the transaction, then close. SQLite keeps a closed connection and its write lock as long as one of its
    statements is referenced, for example from the traceback of a cancelled write."""

    def close(self) -> None:
        with suppress(sqlite3.Error):  # it is already closed, or was never opened
            self.rollback()
        super().close()


def _text(content: bytes) -> str | bytes:
    """Returns text that is not UTF-8 as bytes, which damages only its own row, not a whole answer."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _engine(path: Path, begin: str, connections: int) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        pool_size=connections,
        max_overflow=0,
        pool_timeout=READ_PATIENCE_SECONDS if begin == "DEFERRED" else _BUSY_TIMEOUT_SECONDS,
        pool_reset_on_return=None,  # each use is its own transaction
        connect_args={"timeout": _BUSY_TIMEOUT_SECONDS, "factory": _Connection},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # Headway sends BEGIN itself
        connection.driver_connection.text_factory = _text
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {begin}")

    return engine
