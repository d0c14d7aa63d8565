"""What is SQLite's own: one server at a time, and a schema that Alembic brings up to date."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.database.base import Database
from headway.errors import SettingInvalid
from headway.registry import backend

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
    import sqlite3

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
    """Given that start-up compares with constants, these must name the newest revisions, and tables must match."""
    import sqlite3

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
