"""Redis and Valkey, by redis-py: `redis://user:password@host:6379/0`, or `rediss://...?ssl_ca_certs=/path/ca.pem`.

Redis itself bounds the cache: `maxmemory`, with a policy that evicts the least recently used keys.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from headway.caches.base import Cache
from headway.core.problem import Problem
from headway.errors import SettingInvalid
from headway.redaction import redacted

_log = logging.getLogger(__name__)
_PREFIX = "headway:"
_TIMEOUT_SECONDS = 1.0
_EXPIRE_SECONDS = 86_400.0
_PAUSE_SECONDS = 5.0


class RedisCache(Cache):
    """Without Redis every read is a miss. After a failure, Redis is not used for some seconds."""

    def __init__(self, url: str, maximum_bytes: int) -> None:
        self._url = url
        self._maximum_bytes = maximum_bytes
        self._client: Any = None
        self._away_until = 0.0

    async def open(self) -> None:
        try:
            self._client = redis.asyncio.from_url(
                self._url,
                socket_timeout=_TIMEOUT_SECONDS,
                socket_connect_timeout=_TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 1),  # reconnects if Redis closed the connection meanwhile
            )
            await self._client.ping()
        except (RedisError, OSError, ValueError, TypeError) as error:
            await self.close()
            raise SettingInvalid(f"HEADWAY_CACHE_URL is {redacted(self._url)}: {error}") from error

    async def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    async def get(self, key: str) -> bytes | None:
        found: bytes | None = await self._ask("get", _PREFIX + key)
        return found

    async def put(self, key: str, value: bytes, expire_seconds: float | None = None) -> None:
        if len(value) <= self._maximum_bytes:
            milliseconds = round(1000 * (_EXPIRE_SECONDS if expire_seconds is None else expire_seconds))
            await self._ask("set", _PREFIX + key, value, px=max(1, milliseconds))

    async def delete(self, key: str) -> None:
        await self._ask("delete", _PREFIX + key)

    async def _ask(self, command: str, *arguments: Any, **options: Any) -> Any:
        if self._client is None or time.monotonic() < self._away_until:
            return None
        try:
            return await getattr(self._client, command)(*arguments, **options)
        except (RedisError, OSError) as error:
            self._away_until = time.monotonic() + _PAUSE_SECONDS
            _log.warning("Redis does not answer, so nothing is cached for %g s: %s", _PAUSE_SECONDS, error)
            return None

    async def problems(self) -> list[Problem]:
        try:
            settings = await self._client.config_get("maxmemory*")
        except (RedisError, OSError):  # managed services do not allow CONFIG
            return []
        if settings.get("maxmemory") == "0" or settings.get("maxmemory-policy") == "noeviction":
            return [
                Problem(
                    "Redis has no memory limit, or refuses new values when it is full.",
                    "CONFIG SET maxmemory 1gb; CONFIG SET maxmemory-policy allkeys-lru",
                )
            ]
        return []
