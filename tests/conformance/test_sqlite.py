"""Features of SQLite only: one server at a time, and a schema that Alembic migrates."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from headway.backend_registry import backend
from headway.core.job import Event
from headway.database.base import Database
from headway.errors import SettingInvalid, Unavailable

pytestmark = pytest.mark.anyio


async def test_sqlite_serves_one_server(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'headway.db'}"
    first: Database = backend("database", url)(url)
    second: Database = backend("database", url)(url)
    await first.open()
    with pytest.raises(SettingInvalid, match="in use by another server"):
        await second.open()
    await first.close()
    await second.open()
    await second.close()


async def test_a_home_of_a_newer_version_is_refused_unchanged(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'headway.db'}"
    database: Database = backend("database", url)(url)
    await database.open()
    await database.close()
    connection = sqlite3.connect(tmp_path / "headway.db")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    newer_home: Database = backend("database", url)(url)
    with pytest.raises(SettingInvalid, match="schema 9999"):
        await newer_home.open()
    await newer_home.close()


async def test_the_schema_is_what_the_newest_revision_makes(tmp_path: Path) -> None:
    """Given the constants that start-up compares, they name the newest revisions, and the tables match."""
    from alembic.script import ScriptDirectory

    from headway.database import tables

    migrations = Path(tables.__file__).parent / "migrations"
    assert ScriptDirectory(str(migrations / "main")).get_current_head() == tables.MAIN_REVISION
    assert ScriptDirectory(str(migrations / "streams")).get_current_head() == tables.STREAMS_REVISION
    url = f"sqlite:///{tmp_path / 'headway.db'}"
    database: Database = backend("database", url)(url)
    await database.open()
    await database.close()
    for file, metadata in (("headway.db", tables.main), ("headway-streams.db", tables.streams)):
        connection = sqlite3.connect(tmp_path / file)
        for table in metadata.sorted_tables:
            made = {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}
            assert made == {column.name for column in table.columns}, table.name
        connection.close()


async def test_a_write_that_was_cancelled_leaves_no_lock_behind(tmp_path: Path) -> None:
    """Given a server that stops during a write, when its database is closed, then the next server can write at once."""
    url = f"sqlite:///{tmp_path / 'headway.db'}"
    database: Database = backend("database", url)(url)
    await database.open()
    events = [("j", Event(number=number, type="t", at=1.0)) for number in range(20_000)]
    writing = asyncio.create_task(database.insert_events(events))
    with closing(sqlite3.connect(tmp_path / "headway.db", timeout=0)) as other:
        while not is_locked(other):
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        writing.cancel()
        (cancelled,) = await asyncio.gather(writing, return_exceptions=True)  # its traceback keeps cursors alive
        await database.close()
        assert isinstance(cancelled, asyncio.CancelledError)
        assert not is_locked(other)


def is_locked(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return True
    connection.rollback()
    return False


async def test_it_closes_when_its_transactions_have_ended_and_takes_no_more(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'headway.db'}"
    database: Database = backend("database", url)(url)
    await database.open()
    writing = asyncio.create_task(database.insert_events([("j", Event(number=1, type="t", at=1.0))]))
    await asyncio.sleep(0)
    await database.close()
    assert writing.done()
    with pytest.raises(Unavailable, match="is closed"):
        await database.events("j", 0, 9)
    await database.open()
    assert [event.number for event in await database.events("j", 0, 9)] == [1]
    await database.close()
