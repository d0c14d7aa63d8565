"""A stored file that the caller may read. Its bytes are read while they are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass


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
