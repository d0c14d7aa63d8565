"""The server: its backends and services, wired together, and the tasks that run for ever."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from pydantic import ValidationError

from headway.brokers.base import Broker
from headway.brokers.embedded import EmbeddedBroker
from headway.brokers.envelope import report_key, unseal
from headway.caches.base import Cache
from headway.core.installation import Installation
from headway.core.job_query import JobQuery
from headway.database.base import Database
from headway.engines.base import Engine
from headway.errors import Corrupt, SettingInvalid, Unavailable
from headway.formats.reports import report_worker
from headway.objects.base import Objects
from headway.redaction import redacted
from headway.registry import backend
from headway.server.clock import Clock
from headway.server.housekeeping import Housekeeping
from headway.server.installation_mark import put_mark, read_mark
from headway.server.leading import Leading
from headway.server.leases import Leases
from headway.server.links import Links
from headway.server.quarantine import Quarantine
from headway.server.recorder import Recorder
from headway.server.relay import Relay
from headway.server.scheduler import Scheduler
from headway.server.services.artifacts import Artifacts
from headway.server.services.assignments import Assignments
from headway.server.services.blocks import Blocks
from headway.server.services.checkpoints import Checkpoints
from headway.server.services.damaged import DamagedRows
from headway.server.services.datasets import Datasets
from headway.server.services.heartbeats import Heartbeats
from headway.server.services.inquiries import Inquiries
from headway.server.services.jobs import Jobs, draw_id
from headway.server.services.queue import Queue
from headway.server.services.snapshots import Snapshots
from headway.server.services.specs import Specs
from headway.server.services.streams import Streams
from headway.server.services.telemetry import Telemetry
from headway.server.services.workers import Workers
from headway.server.tokens import adopt_secret, open_home
from headway.server.watchers import Watchers
from headway.settings import Settings

_log = logging.getLogger(__name__)
_BROKER_SECONDS = 1.0


class Server:
    """Everything one server process has. `broker` and `clock` are seams for tests."""

    def __init__(self, settings: Settings, *, broker: Broker | None = None, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self.tokens = open_home(settings.home)
        self.database: Database = backend("database", settings.effective_database_url)(settings.effective_database_url)
        self.objects: Objects = backend("objects", settings.effective_objects_url)(settings.effective_objects_url)
        self.embedded = broker if isinstance(broker, EmbeddedBroker) else EmbeddedBroker()
        self.wakeups = self._broker(settings.effective_wakeups_url)
        same = settings.effective_reports_url == settings.effective_wakeups_url
        self.reports = self.wakeups if same else self._broker(settings.effective_reports_url)
        self.cache: Cache = backend("cache", settings.cache_url)(settings.cache_url, settings.cache_bytes)
        self.engine: Engine = backend("engine", settings.engine_url)(settings.engine_url, self.database)
        self.watchers = Watchers()
        self.jobs = Jobs(self.database, self.clock)
        self.jobs.on_delete.append(self.watchers.changed)
        self.queue = Queue(self.database, self.jobs)
        self.leases = Leases(self.clock, settings.lease_seconds)
        self.recorder = Recorder(
            database=self.database,
            jobs=self.jobs,
            broker=self.reports,
            opened=self._opened_report,
            watchers=self.watchers,
            clock=self.clock,
            catch_up_seconds=settings.catch_up_seconds,
        )
        self.blocks = Blocks(self.database, self.objects, self.cache)
        self.datasets = Datasets(self.database, self.blocks, settings.dataset_directories)
        self.snapshots = Snapshots(self.objects, self.database, settings.maximum_snapshot_bytes)
        self.specs = Specs(self.datasets, self.snapshots)
        self.checkpoints = Checkpoints(
            self.database, self.objects, self.jobs, self.clock, settings.maximum_artifact_bytes
        )
        self.inquiries = Inquiries(self.wakeups)
        self.links = Links(self.clock)
        self.telemetry = Telemetry(self.clock, self.jobs)
        self.workers = Workers(
            settings=settings,
            clock=self.clock,
            tokens=self.tokens,
            jobs=self.jobs,
            engine=self.engine,
            leases=self.leases,
            recorder=self.recorder,
            telemetry=self.telemetry,
        )
        self.assignments = Assignments(
            clock=self.clock,
            tokens=self.tokens,
            jobs=self.jobs,
            workers=self.workers,
            datasets=self.datasets,
            checkpoints=self.checkpoints,
        )
        self.heartbeats = Heartbeats(
            workers=self.workers,
            leases=self.leases,
            telemetry=self.telemetry,
            assignments=self.assignments,
            inquiries=self.inquiries,
            recorder=self.recorder,
            leads=lambda: self.leading is None or self.leading.proven,
        )
        self.scheduler = Scheduler(
            settings=settings,
            clock=self.clock,
            database=self.database,
            jobs=self.jobs,
            queue=self.queue,
            workers=self.workers,
            leases=self.leases,
            recorder=self.recorder,
            quarantine=Quarantine(self.clock, self.engine, self.jobs),
        )
        self.relay = Relay(self.jobs, self.database, self.wakeups, self.watchers)
        self.artifacts = Artifacts(self.objects, self.jobs, settings.maximum_artifact_bytes)
        self.housekeeping = Housekeeping(
            settings=settings,
            database=self.database,
            jobs=self.jobs,
            artifacts=self.artifacts,
            snapshots=self.snapshots,
            checkpoints=self.checkpoints,
            clock=self.clock,
        )
        self.damaged = DamagedRows(self.database, self.jobs, self.artifacts, self.checkpoints)
        self.streams = Streams(self.database, self.jobs, self.recorder, self.watchers)
        self.running = False
        self.leading: Leading | None = None
        self.led: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def started(self, url: str = "") -> AsyncIterator[None]:
        """The server at work, once it leads, at `url`. Raises SettingInvalid when a backend cannot be used."""
        opened: list[Any] = []
        tasks: list[asyncio.Task[None]] = []
        try:
            brokers = list(dict.fromkeys((self.wakeups, self.reports)))
            backends: tuple[Any, ...] = (self.database, self.objects, self.cache)
            for one in backends:
                opened.append(one)
                await one.open()
            for one in brokers:
                await self._reach_broker(one)
            installation = await self._join_installation()
            if self.database.shared:
                lease_seconds = self.settings.leader_lease_seconds
                self.leading = Leading(self.database, self.clock, draw_id("s-"), url, lease_seconds)
                await self.leading.acquire()
                self.led = asyncio.create_task(self.leading.keep())
            await self._mark_objects(installation)
            for one in brokers:  # only now: a server that does not lead must take no reports from the one that does
                opened.append(one)
                await self._open_broker(one)
            await self.engine.open()
            await self.datasets.open()
            await self.jobs.open()
            await self.queue.open()
            await self.recorder.open()
            await self.workers.open()
            loops = (self.recorder.run, self.relay.run, self.scheduler.run, self.housekeeping.run)
            tasks = [asyncio.create_task(_for_ever(loop)) for loop in loops]
            self.running = True
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self.led is not None and self.leading is not None:
                self.led.cancel()
                await asyncio.gather(self.led, return_exceptions=True)
                await self.leading.resign()
            self.running = False
            self.streams.close()
            for one in reversed(opened):
                await one.close()

    def _broker(self, url: str) -> Broker:
        found: type[Broker] = backend("broker", url)
        return self.embedded if found is EmbeddedBroker else found(url)  # type: ignore[call-arg]

    def _opened_report(self, body: bytes) -> bytes:
        """A report as its worker wrote it. Raises Corrupt for one that its sender did not sign or may not send."""
        if self.reports is self.embedded:
            return body  # it came over the worker's own connection
        sender, report = unseal(body, lambda worker: report_key(self.tokens.secret, worker))
        if report_worker(report) not in self.workers.speaks_for(sender):
            raise Corrupt(f"Worker {sender} sent a report in the name of another.")
        return report

    async def _reach_broker(self, broker: Broker) -> None:
        """See that a broker can be used, without reading from it. Raises SettingInvalid."""
        settings, of_wakeups = self.settings, broker is self.wakeups
        own = settings.wakeups_url if of_wakeups else settings.reports_url
        setting = "HEADWAY_BROKER_URL"
        if own is not None:
            setting = "HEADWAY_WAKEUPS_URL" if of_wakeups else "HEADWAY_REPORTS_URL"
        try:
            await broker.problems()
        except Unavailable as error:
            raise SettingInvalid(f"{setting} is {redacted(own or settings.broker_url)}: {error}") from error

    async def _open_broker(self, broker: Broker) -> None:
        """At a start it has just been reached; one that is away when this server takes over is waited for."""
        while True:
            try:
                await broker.open()
                return
            except SettingInvalid as error:
                if not self.database.shared:
                    raise
                _log.error("The lead waits for its broker. %s", error)
                await asyncio.sleep(_BROKER_SECONDS)

    async def _join_installation(self) -> Installation:
        """Take over what the servers of this installation share."""
        drawn = Installation(id=draw_id("i-"), secret=self.tokens.secret)
        try:
            installation = await self.database.installation(drawn)
        except ValidationError as error:
            raise SettingInvalid(
                f"Database {redacted(self.settings.effective_database_url)} does not tell whose it is: its row "
                "`installation` is damaged. Restore a backup with `headway restore`."
            ) from error
        adopt_secret(self.settings.home, self.tokens, installation.secret)
        return installation

    async def _mark_objects(self, installation: Installation) -> None:
        """See that the object store is this installation's: another would not have its checkpoints and models."""
        url = redacted(self.settings.effective_objects_url)
        store = (
            f"Objects are stored in {url}" if self.settings.objects_url is None else f"HEADWAY_OBJECTS_URL names {url}"
        )
        found = await read_mark(self.objects)
        if found is None:
            if await self.database.jobs(JobQuery(limit=1)) and self.database.shared:
                raise SettingInvalid(
                    f"{store}. It is empty, but this installation has jobs already. "
                    "Name the store that its other servers use."
                )
            await put_mark(self.objects, installation)
        elif found != installation.id:
            raise SettingInvalid(
                f"{store}. It is the store of another installation than database "
                f"{redacted(self.settings.effective_database_url)} has. Restore a backup with `headway restore` if the "
                "database is new or damaged; else set HEADWAY_OBJECTS_URL or HEADWAY_DATABASE_URL to the one that "
                "belongs to the other."
            )


async def _for_ever(loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a loop again if a defect of ours ends it: one bad job must not stop the others. It is logged each time."""
    while True:
        try:
            await loop()
        except Exception:
            _log.exception("A defect stopped %s; it goes on in a second. Please report this.", loop.__qualname__)
            await asyncio.sleep(1.0)
