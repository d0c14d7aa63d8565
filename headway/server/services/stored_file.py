"""A stored file that its reader may have: what is sent of it is read when it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StoredFile:
    """`name` is what people save it as, `read` gives the bytes from one position to before another."""

    name: str
    size_bytes: int
    sha256: str
    read: Callable[[int, int], AsyncIterator[bytes]]
