"""The mark that tells whose an object store is: the installation's id."""

from __future__ import annotations

from headway.core.installation import Installation
from headway.errors import NotFound
from headway.objects.base import Objects, in_one_chunk

_MARK = "installation"


async def read_mark(objects: Objects) -> str | None:
    """The id of the installation that the store belongs to; None if it is new."""
    try:
        return b"".join([chunk async for chunk in objects.get(_MARK)]).decode()
    except NotFound:
        return None


async def put_mark(objects: Objects, installation: Installation) -> None:
    """Make the store this installation's."""
    await objects.put(_MARK, in_one_chunk(installation.id.encode()))
