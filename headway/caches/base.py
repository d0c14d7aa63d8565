"""The contract of a cache."""

from __future__ import annotations

from abc import ABC, abstractmethod

from headway.core.problem import Problem


class Cache(ABC):
    """Byte strings by key. They are dropped by age, or when space is needed."""

    @abstractmethod
    async def open(self) -> None:
        """Connect. Raises SettingInvalid when the cache is wrong or cannot be reached."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""

    async def problems(self) -> list[Problem]:
        """Configuration problems of an open cache, for `headway doctor`."""
        return []

    @abstractmethod
    async def get(self, key: str) -> bytes | None:
        """The value, or None if it is not in the cache."""

    @abstractmethod
    async def put(self, key: str, value: bytes, expire_seconds: float | None = None) -> None:
        """Keep a value until it expires or space is needed. A value larger than the cache is not kept."""

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Delete a value. Does nothing if it is not in the cache."""
