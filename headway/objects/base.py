"""The contract of an object store."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass

from headway.core.problem import Problem
from headway.errors import InvalidInput, TooLarge

_OBJECT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:[./][A-Za-z0-9_-]+)*")


@dataclass(frozen=True)
class StoredObject:
    """What `put` stored: its size and the SHA-256 of its bytes in hexadecimal."""

    size_bytes: int
    sha256: str


class Objects(ABC):
    """Immutable byte strings under ids of ours. Ids are made by Headway, never taken from a client's path.

    Slashes part an id as they part a path: no id is a folder of another, so `a/1` and `a/1/b` are never both there.
    """

    @abstractmethod
    async def open(self) -> None:
        """Connect. Raises SettingInvalid when the store is wrong or cannot be reached."""

    async def open_to_read(self) -> None:
        """Connect beside servers that may be at work, to read only. Raises SettingInvalid."""
        await self.open()

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections."""

    async def problems(self) -> list[Problem]:
        """What is misconfigured, for `headway doctor`. It is asked without `open`. Raises SettingInvalid."""
        return []

    @abstractmethod
    async def put(self, object_id: str, chunks: AsyncIterator[bytes]) -> StoredObject:
        """Store a whole object: after an error, or a crash at any byte, nothing is there or what was there before."""

    @abstractmethod
    def get(self, object_id: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` to before `end`, in chunks. Raises NotFound at the first one."""

    @abstractmethod
    async def size_bytes(self, object_id: str) -> int:
        """The object's size. Raises NotFound."""

    @abstractmethod
    async def delete(self, object_id: str) -> None:
        """Remove an object; one that is not there is fine."""

    @abstractmethod
    def list(self, prefix: str) -> AsyncIterator[str]:
        """The ids that begin with `prefix`, each once, in the order of their characters' codes.

        A prefix is text, not a folder: `a/1` finds `a/1`, `a/12` and `a/1x/b`. The empty prefix finds all. An object
        that is stored or deleted meanwhile may be among them or not; all others are.
        """


def check_object_id(object_id: str) -> str:
    """The id, if it is one of ours. Raises InvalidInput."""
    if len(object_id) > 512 or not _OBJECT_ID.fullmatch(object_id):
        raise InvalidInput(f"Object id {object_id!r} is not valid.")
    return object_id


async def in_one_chunk(content: bytes) -> AsyncIterator[bytes]:
    """Bytes that are in memory, as `put` takes them."""
    yield content


async def bounded(chunks: AsyncIterator[bytes], maximum_bytes: int, subject: str) -> AsyncIterator[bytes]:
    """The chunks of `subject`. Raises TooLarge once there are more than `maximum_bytes`."""
    size_bytes = 0
    async for chunk in chunks:
        size_bytes += len(chunk)
        if size_bytes > maximum_bytes:
            raise TooLarge(f"{subject} is larger than {maximum_bytes:,} bytes (HEADWAY_MAXIMUM_ARTIFACT_BYTES).")
        yield chunk
