"""Redis as a cache: its contents, and that losing it only costs speed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from headway.caches.redis import RedisCache
from headway.errors import SettingInvalid
from tests.services import control, service_url

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cache() -> AsyncIterator[RedisCache]:
    cache = RedisCache(service_url("REDIS_URL"), 1 << 20)
    await cache.open()
    yield cache
    await cache.close()


async def test_a_redis_that_goes_away_is_a_miss_and_comes_back(
    cache: RedisCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a cache whose server stops answering, reads are misses at once; later the server is tried again."""
    key = secrets.token_hex(8)
    await cache.put(key, b"value")
    answering = cache._client
    cache._client = redis.asyncio.from_url("redis://127.0.0.1:9/0", socket_connect_timeout=0.2)
    assert await cache.get(key) is None
    await cache.put(key, b"other")
    await cache._client.aclose()
    cache._client = answering
    assert await cache.get(key) is None, "the server is not tried for a while"
    monkeypatch.setattr(cache, "_away_until", 0.0)
    assert await cache.get(key) == b"value"


async def test_a_redis_that_is_down_at_the_start_is_refused() -> None:
    cache = RedisCache("redis://someone:hunter2@127.0.0.1:9/0", 1)
    with pytest.raises(SettingInvalid, match=r"HEADWAY_CACHE_URL is redis://someone:\*\*\*@127.0.0.1:9/0"):
        await cache.open()


@pytest.mark.disturbs_servers
async def test_a_full_redis_drops_the_least_recently_used(cache: RedisCache) -> None:
    """Given a bound and LRU, when it is overfilled, then each new value is stored, and a value in use stays."""
    control("set", "redis", "maxmemory=24mb", "maxmemory-policy=allkeys-lru")
    try:
        assert await cache.problems() == []
        prefix, block = secrets.token_hex(8), secrets.token_bytes(1 << 20)
        await cache.put(f"{prefix}-hot", block)
        for number in range(60):
            await cache.put(f"{prefix}-{number}", block)
            assert await cache.get(f"{prefix}-{number}") == block, "new values are always stored"
            if number % 6 == 5:
                await asyncio.sleep(1.1)  # Redis measures ages in seconds
                assert await cache.get(f"{prefix}-hot") == block, "a value that is read often stays"
        held = [number for number in range(60) if await cache.get(f"{prefix}-{number}") is not None]
        assert 5 < len(held) < 24
        assert (await cache._client.info("memory"))["used_memory"] <= 26 << 20
    finally:
        control("set", "redis", "maxmemory=0", "maxmemory-policy=noeviction")
    assert [problem.what for problem in await cache.problems()] == [
        "Redis has no memory limit, or refuses new values when it is full."
    ]
