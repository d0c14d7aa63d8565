"""`headway migrate`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click


@click.command()
@click.option("--home", type=click.Path(path_type=Path), help="Folder of all state.  [default: ~/.headway]")
def migrate(home: Path | None) -> None:
    """Bring the database's schema up to date, and end.

    Servers do so at their start as well; this is for those who upgrade a shared database before its servers. Upgrades
    only add, under a lock, so that servers of the version before may run meanwhile.
    """
    from headway.database.base import Database
    from headway.redaction import redacted
    from headway.registry import backend
    from headway.settings import load_settings

    url = load_settings(os.environ, home=home).effective_database_url
    database: Database = backend("database", url)(url)

    async def upgrade() -> None:
        await database.open()
        await database.close()

    asyncio.run(upgrade())
    click.echo(f"{redacted(url)} is up to date.")
