"""The contract of a cache."""

from __future__ import annotations

from abc import ABC, abstractmethod

from headway.core.problem import Problem


class Cache(ABC):
    """Byte strings by key, dropped by age or when room is needed."""

    @abstractmethod
    async def open(self) -> None:
        """Connect. Raises SettingInvalid when the cache is wrong or cannot be reached."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections."""

    async def problems(self) -> list[Problem]:
        """What is misconfigured, for `headway doctor`; asked of an open cache."""
        return []

    @abstractmethod
    async def get(self, key: str) -> bytes | None:
        """The value, or None if it is not there any more."""

    @abstractmethod
    async def put(self, key: str, value: bytes, expire_seconds: float | None = None) -> None:
        """Keep a value, until it expires or room is needed. One larger than the cache is not kept."""

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Forget a value; one that is not there is fine."""
