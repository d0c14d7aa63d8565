"""The contract of an object store."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass

from headway.core.problem import Problem
from headway.errors import InvalidInput, NotFound, TooLarge

_OBJECT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:[./][A-Za-z0-9_-]+)*")


@dataclass(frozen=True)
class StoredObject:
    """The result of `put`: the size, and the SHA-256 of the bytes in hexadecimal."""

    size_bytes: int
    sha256: str


class Objects(ABC):
    """Immutable byte strings by id. Headway creates the ids; they never come from a client's path.

    Slashes separate an id like a path. No id is a folder of another one: `a/1` and `a/1/b` never both exist.
    Every method raises Unavailable while the store cannot be reached, is full, or takes no writes.
    """

    @abstractmethod
    async def open(self) -> None:
        """Connect. Raises SettingInvalid when the store is wrong or cannot be reached."""

    async def open_to_read(self) -> None:
        """Connect read-only, beside servers that may be running. Raises SettingInvalid."""
        await self.open()

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""

    async def problems(self) -> list[Problem]:
        """Configuration problems, for `headway doctor`. It works without `open`. Raises SettingInvalid."""
        return []

    @abstractmethod
    async def put(self, object_id: str, chunks: AsyncIterator[bytes]) -> StoredObject:
        """Store a whole object. After an error, or a crash at any byte, the store is unchanged."""

    @abstractmethod
    def get(self, object_id: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` to before `end`, in chunks. Raises NotFound at the first one."""

    async def link(self, object_id: str, file_name: str) -> str | None:
        """A URL that sends the object to anyone for some minutes, as a file of that name. None: there are no links."""
        return None

    @abstractmethod
    async def size_bytes(self, object_id: str) -> int:
        """The object's size. Raises NotFound."""

    @abstractmethod
    async def delete(self, object_id: str) -> None:
        """Remove an object. Does nothing if it does not exist."""

    @abstractmethod
    def list(self, prefix: str) -> AsyncIterator[str]:
        """The ids that begin with `prefix`, each once, sorted by code points.

        A prefix is text, not a folder: `a/1` finds `a/1`, `a/12` and `a/1x/b`. The empty prefix finds all. Objects that
        are stored or deleted meanwhile may be included or not; all others are included.
        """


def absent(object_id: str) -> NotFound:
    """The error for an object that does not exist."""
    return NotFound(f"Object {object_id} does not exist.")


def check_object_id(object_id: str) -> str:
    """The id, if it is valid. Raises InvalidInput."""
    if len(object_id) > 512 or not _OBJECT_ID.fullmatch(object_id):
        raise InvalidInput(f"Object id {object_id!r} is not valid.")
    return object_id


async def in_one_chunk(content: bytes) -> AsyncIterator[bytes]:
    """Bytes in memory, as chunks for `put`."""
    yield content


async def bounded(chunks: AsyncIterator[bytes], maximum_bytes: int, subject: str) -> AsyncIterator[bytes]:
    """The chunks of `subject`. Raises TooLarge once there are more than `maximum_bytes`."""
    size_bytes = 0
    async for chunk in chunks:
        size_bytes += len(chunk)
        if size_bytes > maximum_bytes:
            raise TooLarge(f"{subject} is larger than {maximum_bytes:,} bytes (HEADWAY_MAXIMUM_ARTIFACT_BYTES).")
        yield chunk
