"""A stored file that the caller may read. Its bytes are read while they are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from headway.objects.base import Objects


@dataclass(frozen=True)
class StoredFile:
    """`name`: the suggested file name. `read`: gives the bytes from one position up to, not including, another.

    `link`: a URL of the object store that sends the file; None if the server must send it.
    """

    name: str
    size_bytes: int
    sha256: str
    read: Callable[[int, int], AsyncIterator[bytes]]
    link: str | None


async def stored_file(objects: Objects, object_id: str, name: str, size_bytes: int, sha256: str) -> StoredFile:
    """An object of the store as a file that is sent to the caller."""
    return StoredFile(name, size_bytes, sha256, partial(objects.get, object_id), await objects.link(object_id, name))
