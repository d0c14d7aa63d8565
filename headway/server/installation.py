"""Which installation owns a database and an object store: a server joins the one that it finds, or creates one."""

from __future__ import annotations

from pydantic import ValidationError

from headway.core.installation import Installation
from headway.database.base import Database
from headway.errors import NotFound, SettingInvalid
from headway.objects.base import Objects, in_one_chunk
from headway.redaction import redacted
from headway.server.home_tokens import HomeTokens
from headway.server.ids import draw_id
from headway.settings import Settings

_MARK = "installation"


async def join_installation(settings: Settings, database: Database, home: HomeTokens) -> Installation:
    """Sign tokens with the secret that the servers on this database share. Raises SettingInvalid."""
    drawn = Installation(id=draw_id("i-"), secret=home.tokens.secret)
    try:
        installation = await database.installation(drawn)
    except ValidationError as error:
        raise SettingInvalid(
            f"Database {redacted(settings.effective_database_url)} does not say which installation it belongs to: "
            "its row `installation` is damaged. Restore a backup with `headway restore`."
        ) from error
    home.adopt(installation.secret)
    return installation


async def claim_objects(settings: Settings, installation: Installation, database: Database, objects: Objects) -> None:
    """Mark a new object store as this installation's.

    Raises SettingInvalid for the store of another installation: it does not have this one's checkpoints and models.
    """
    url = redacted(settings.effective_objects_url)
    store = f"Objects are stored in {url}" if settings.objects_url is None else f"HEADWAY_OBJECTS_URL names {url}"
    found = await read_mark(objects)
    if found is None:
        if await database.jobs_by_age(0, 1) and database.shared:
            raise SettingInvalid(
                f"{store}. The store is empty, but this installation has jobs already. "
                "Name the store that its other servers use."
            )
        await put_mark(objects, installation)
    elif found != installation.id:
        raise SettingInvalid(
            f"{store}. The store belongs to another installation than database "
            f"{redacted(settings.effective_database_url)}. Restore a backup with `headway restore` if the "
            "database is new or damaged; otherwise correct HEADWAY_OBJECTS_URL or HEADWAY_DATABASE_URL."
        )


async def read_mark(objects: Objects) -> str | None:
    """The id of the installation that the store belongs to; None if it is new."""
    try:
        return b"".join([chunk async for chunk in objects.get(_MARK)]).decode()
    except NotFound:
        return None


async def put_mark(objects: Objects, installation: Installation) -> None:
    """Mark the store as this installation's."""
    await objects.put(_MARK, in_one_chunk(installation.id.encode()))
