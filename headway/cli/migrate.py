"""`headway migrate`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from headway.cli.common import answer, json_option


@click.command()
@click.option("--home", type=click.Path(path_type=Path), help="Folder of all state.  [default: ~/.headway]")
@json_option
def migrate(home: Path | None, as_json: bool) -> None:
    """Bring the database's schema up to date, and end.

    Servers also do this when they start. Use it to upgrade a shared database before its servers. Upgrades only add to
    the schema, under a lock, so servers of the previous version may run meanwhile.
    """
    from headway.backend_registry import backend
    from headway.database.base import Database
    from headway.redaction import redacted
    from headway.settings import load_settings

    url = load_settings(os.environ, home=home).effective_database_url
    database: Database = backend("database", url)(url)

    async def upgrade() -> None:
        await database.open()
        await database.close()

    asyncio.run(upgrade())
    answer({"database": redacted(url)}, f"{redacted(url)} is up to date.", as_json=as_json)
