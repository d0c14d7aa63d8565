"""What every cache promises, and details of the cache in memory."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headway.backend_registry import backend
from headway.caches.base import Cache
from headway.caches.memory import MemoryCache
from tests.conformance.backends import run, schemes

pytestmark = pytest.mark.anyio
_BYTES = 1 << 20


@pytest.fixture(params=schemes("cache"))
async def cache(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cache]:
    async with run("cache", request.param, tmp_path) as url:
        cache: Cache = backend("cache", url)(url, _BYTES)
        await cache.open()
        yield cache
        await cache.close()


async def test_a_cache_returns_a_value_or_nothing(cache: Cache) -> None:
    key = secrets.token_hex(8)
    assert await cache.get(key) is None
    await cache.put(key, b"1")
    await cache.put(key, b"\x00\xff" * 1000)
    assert await cache.get(key) == b"\x00\xff" * 1000
    await cache.delete(key)
    await cache.delete(key)
    assert await cache.get(key) is None


async def test_a_cache_expires(cache: Cache) -> None:
    key = secrets.token_hex(8)
    await cache.put(key, b"1", expire_seconds=0.001)
    async with asyncio.timeout(5):
        while await cache.get(key) is not None:
            await asyncio.sleep(0.001)
    await cache.put(key, b"2", expire_seconds=60)
    assert await cache.get(key) == b"2"


async def test_what_is_larger_than_the_cache_is_not_kept(cache: Cache) -> None:
    small, large = secrets.token_hex(8), secrets.token_hex(8)
    await cache.put(small, b"1")
    await cache.put(large, bytes(_BYTES + 1))
    assert await cache.get(large) is None
    assert await cache.get(small) == b"1"


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def test_memory_keeps_until_the_moment_of_expiry() -> None:
    clock = Clock()
    cache = MemoryCache("memory:", 100, clock)
    await cache.put("a", b"1", expire_seconds=5)
    clock.seconds = 4.9
    assert await cache.get("a") == b"1"
    clock.seconds = 5
    assert await cache.get("a") is None


async def test_memory_stays_within_its_bound() -> None:
    cache = MemoryCache("memory:", 100)
    for key in "abc":
        await cache.put(key, bytes(40))
    assert await cache.get("a") is None
    await cache.get("b")
    await cache.put("d", bytes(40))  # the least recently used value is dropped
    assert await cache.get("c") is None
    assert await cache.get("b") is not None
