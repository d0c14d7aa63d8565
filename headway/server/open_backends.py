"""The backends that the settings name. The wiring creates them; the start-up opens and closes them."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from headway.backend_registry import backend
from headway.brokers.base import Broker
from headway.brokers.embedded import EmbeddedBroker
from headway.caches.base import Cache
from headway.database.base import Database
from headway.engines.base import AllocatingEngine, Engine, EngineSetup
from headway.errors import SettingInvalid, Unavailable
from headway.objects.base import Objects
from headway.redaction import redacted
from headway.settings import Settings

_log = logging.getLogger(__name__)
_BROKER_RETRY_SECONDS = 1.0


class _Closable(Protocol):
    async def close(self) -> None: ...


class Backends:
    """One backend of each kind, engines by name. `wakeups` and `reports` are one broker, unless the settings name two.

    `embedded` is the broker that workers reach over their own connection. It exists even if no messages use it.
    """

    def __init__(self, settings: Settings, embedded: EmbeddedBroker | None = None) -> None:
        self._settings = settings
        database_url, objects_url = settings.effective_database_url, settings.effective_objects_url
        self.database: Database = backend("database", database_url)(database_url)
        self.objects: Objects = backend("objects", objects_url)(objects_url)
        self.cache: Cache = backend("cache", settings.cache_url)(settings.cache_url, settings.cache_bytes)
        self.embedded = embedded or EmbeddedBroker()
        self.wakeups = self._broker(settings.effective_wakeups_url)
        same = settings.effective_reports_url == settings.effective_wakeups_url
        self.reports = self.wakeups if same else self._broker(settings.effective_reports_url)
        self.engines: dict[str, Engine] = {}
        for url in ("fleet:", *settings.engine_urls):
            engine: Engine = backend("engine", url)(url)
            self.engines[engine.name] = engine
        if settings.default_engine not in self.engines:
            known = ", ".join(self.engines)
            raise SettingInvalid(
                f"HEADWAY_DEFAULT_ENGINE is {settings.default_engine}; HEADWAY_ENGINE_URLS gives this server: {known}."
            )
        self._opened: list[_Closable] = []

    def _broker(self, url: str) -> Broker:
        found: type[Broker] = backend("broker", url)
        return self.embedded if found is EmbeddedBroker else found(url)  # type: ignore[call-arg]

    @property
    def _brokers(self) -> list[Broker]:
        return list(dict.fromkeys((self.wakeups, self.reports)))

    async def open_stores(self) -> None:
        """Connect to database, objects and cache. Raises SettingInvalid."""
        for one in (self.database, self.objects, self.cache):
            self._opened.append(one)
            await one.open()

    async def reach_brokers(self) -> None:
        """Check that the brokers can be used, without reading from them. Raises SettingInvalid."""
        for broker in self._brokers:
            try:
                await broker.problems()
            except Unavailable as error:
                setting, url = self._broker_setting(broker)
                raise SettingInvalid(f"{setting} is {redacted(url)}: {error}") from error

    def _broker_setting(self, broker: Broker) -> tuple[str, str]:
        """The setting that names the broker, and its value."""
        settings = self._settings
        if broker is self.wakeups and settings.wakeups_url is not None:
            return "HEADWAY_WAKEUPS_URL", settings.wakeups_url
        if broker is not self.wakeups and settings.reports_url is not None:
            return "HEADWAY_REPORTS_URL", settings.reports_url
        return "HEADWAY_BROKER_URL", settings.broker_url

    async def open_engines(self, installation: str, url: str) -> None:
        """Get the engines ready that make workers; these reach the server at `url`. Raises SettingInvalid."""
        server_url = self._settings.advertised_url or url
        for engine in self.engines.values():
            if isinstance(engine, AllocatingEngine):
                self._opened.append(engine)
                folder = self._settings.home / "engines" / engine.name
                await engine.open(EngineSetup(installation, server_url, folder))

    async def open_brokers(self) -> None:
        """Start to read from the brokers. Raises SettingInvalid.

        On a shared database this waits for a broker that is down: the server is taking over, and it just reached the
        broker.
        """
        for broker in self._brokers:
            self._opened.append(broker)
            while True:
                try:
                    await broker.open()
                    break
                except SettingInvalid as error:
                    if not self.database.shared:
                        raise
                    _log.error("The leading server waits for its broker. %s", error)
                    await asyncio.sleep(_BROKER_RETRY_SECONDS)

    async def close(self) -> None:
        """Close all backends that were opened, in reverse order."""
        while self._opened:
            await self._opened.pop().close()
