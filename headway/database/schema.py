"""Upgrades a SQL schema. Revisions only add to it, so that servers of the previous version continue meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import MetaData, inspect, text
from sqlalchemy.engine import Connection

from headway.database import tables
from headway.errors import SettingInvalid


class Schema(NamedTuple):
    """The tables of one kind, their newest revision, and the table that stores the current revision."""

    name: str
    metadata: MetaData
    revision: str
    version_table: str = "alembic_version"


MAIN = Schema("main", tables.main, tables.MAIN_REVISION)
STREAMS = Schema("streams", tables.streams, tables.STREAMS_REVISION)


def stored_revision(connection: Connection, schema: Schema) -> str | None:
    """The current revision; None if there is none. Raises SettingInvalid if this version does not know it."""
    if not inspect(connection).has_table(schema.version_table):
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {schema.version_table}")).scalar()  # noqa: S608
    if found is not None and found > schema.revision:
        raise SettingInvalid(
            f"The home's {schema.name} database has schema {found}, this version of Headway knows {schema.revision}. "
            "Start the newer version, or give another --home or HEADWAY_DATABASE_URL."
        )
    return found


def migrate(connection: Connection, schema: Schema) -> None:
    """Upgrade the schema to its newest revision. Alembic is imported only if that is needed."""
    if stored_revision(connection, schema) == schema.revision:
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations" / schema.name))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = schema.version_table
    command.upgrade(config, schema.revision)
