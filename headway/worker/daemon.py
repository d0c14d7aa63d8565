"""The worker's daemon: connects its parts, and runs one session with the server after the other."""

from __future__ import annotations

import asyncio
import logging
import platform
import secrets
from collections.abc import Callable
from functools import partial
from math import inf
from urllib.parse import urlsplit

from headway import __version__
from headway.brokers.base import WorkerBroker
from headway.core.protocol import Registered, SeatStart, Timeouts
from headway.core.worker import WorkerDescription
from headway.errors import SettingInvalid, WorkerLost
from headway.settings import WorkerSettings
from headway.worker.assignments import Assignments
from headway.worker.attempt_files import finish_stream
from headway.worker.broker_links import BrokerLink, Uses, broker_links
from headway.worker.connection import Connection
from headway.worker.counters import WorkerCounters
from headway.worker.dataset_cache import DatasetCache
from headway.worker.devices import Devices
from headway.worker.environments import Environments
from headway.worker.heartbeat import HeartbeatLoop
from headway.worker.home_lock import locked_home
from headway.worker.interface import address_of, address_towards
from headway.worker.outbox import Outbox
from headway.worker.phase import StopRequest
from headway.worker.preparation import Preparation
from headway.worker.registration import JoinToken, register
from headway.worker.session import Session
from headway.worker.shutdown import LastWords
from headway.worker.slots import Slots, usable_cores
from headway.worker.snapshot_cache import SnapshotCache
from headway.worker.spool import leftover_streams
from headway.worker.survivors import end_survivors
from headway.worker.work_folders import WorkFolders

_log = logging.getLogger(__name__)
_CLOSE_SECONDS = 5.0


class Worker:
    """One start of a worker. When the server declares it lost, it ends its ranks and registers under a new id."""

    def __init__(self, settings: WorkerSettings, devices: Devices) -> None:
        self._settings = settings
        self._home = settings.home
        self._devices = devices
        self._slots = Slots(settings.slots)
        self._threads = max(1, usable_cores() // settings.slots)
        self._connection = Connection(settings.server_url)
        self._environments = Environments(self._home, self._threads, settings.environment_cache_bytes)
        self._heartbeat_due = asyncio.Event()
        self.counters = WorkerCounters()
        self._outbox = Outbox(self._heartbeat_due.set, self.counters)
        self._assignments = Assignments(self._heartbeat_due)
        cache = self._home / "cache"
        self._preparation = Preparation(
            self._connection,
            DatasetCache(cache / "datasets", settings.dataset_cache_bytes, self._connection.block),
            SnapshotCache(cache / "snapshots", settings.snapshot_cache_bytes, self._connection.snapshot),
            self._environments,
            WorkFolders(
                self._home,
                settings.work_cache_bytes,
                settings.work_retention_seconds,
                settings.unasked_output_bytes,
            ),
        )
        self._timeouts = Timeouts()
        self.released = False
        """Whether the worker had a seat of an allocation that was given back, so that it may end."""
        self._join_token = JoinToken(settings.token_file)

    @property
    def has_seat(self) -> bool:
        """Whether the worker was made for one job."""
        return self._settings.seat is not None

    async def run(self, stopped: asyncio.Event) -> None:
        """Work until `stopped` is set. Then end the ranks, send the remaining reports, and return.

        Raises SettingInvalid when the home is in use by another worker, or the token is refused.
        """
        with locked_home(self._home):
            end_survivors(self._home)
            for stream in leftover_streams(self._home):
                finish_stream(self._home, stream, self.counters)
                self._outbox.add(stream)
            forkserver = asyncio.create_task(self._environments.run())
            probe = await asyncio.start_server(_greet, self._advertised_host(), 0)
            stopping = asyncio.create_task(stopped.wait())
            try:
                await self._hold_sessions(probe.sockets[0].getsockname()[1], stopped, stopping)
            finally:
                stopping.cancel()
                forkserver.cancel()
                probe.close()
                await asyncio.wait({forkserver, stopping}, timeout=_CLOSE_SECONDS)
                await self._connection.close()

    async def _hold_sessions(self, port: int, stopped: asyncio.Event, stopping: asyncio.Task[bool]) -> None:
        while not stopped.is_set():
            session = asyncio.create_task(self._hold_session(port, stopped))
            await asyncio.wait({session, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stopped.is_set():
                last = LastWords(self._assignments, self._outbox, self._connection, self._heartbeat_due)
                if self.has_seat:
                    await last.end_seat(self._timeouts.save_grace_seconds, self._settings.grace_seconds)
                else:
                    await last.shut_down(self._timeouts.save_grace_seconds)
                session.cancel()
            await asyncio.gather(session, return_exceptions=stopped.is_set())

    async def _hold_session(self, port: int, stopped: asyncio.Event) -> None:
        """Run from a registration until the server declares this worker id lost."""
        description = self._description(port)
        number, start = self._settings.seat, self._settings.start
        seat = None if number is None else SeatStart(number=number, start=start, call=secrets.token_hex(8))
        patience_seconds = inf if seat is None else self._timeouts.orphan_timeout_seconds
        registered = await register(self._connection, description, self._join_token, self._home, seat, patience_seconds)
        self._timeouts = registered.timeouts
        session = self._session(registered)
        beside = [link.keep(self._heartbeat_due.set) for link in self._broker_links(registered, session)]
        beside.append(self._preparation.work_folders.keep_sweeping(self._connection.ended_jobs))
        tasks = [asyncio.create_task(one) for one in beside]
        try:
            on_release = partial(self._note_release, stopped) if self.has_seat else None
            await HeartbeatLoop(
                session, self._assignments, due=self._heartbeat_due, stopped=stopped, on_release=on_release
            ).run()
        except WorkerLost as error:
            _log.warning("%s", error)
            await self._assignments.end_all(StopRequest(0.0, store_seconds=0.0))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)

    def _note_release(self, stopped: asyncio.Event) -> None:
        """The worker's allocation was given back: send the last reports, then end."""
        if not self.released:
            _log.info("The allocation was released.")
        self.released = True
        stopped.set()

    def _description(self, port: int) -> WorkerDescription:
        return WorkerDescription(
            name=self._settings.name,
            slots=self._settings.slots,
            threads_per_slot=self._threads,
            accelerators=self._devices.names,
            host=self._advertised_host(),
            port=port,
            version=__version__,
            platform=platform.platform(),
            labels=self._settings.labels,
        )

    def _session(self, registered: Registered) -> Session:
        return Session(
            worker=registered.id,
            report_key=registered.report_key,
            timeouts=registered.timeouts,
            connection=self._connection,
            outbox=self._outbox,
            home=self._home,
            host=self._advertised_host(),
            interface=self._settings.interface,
            preparation=self._preparation,
            slots=self._slots,
            threads_per_slot=self._threads,
            devices=self._devices,
        )

    def _broker_links(self, registered: Registered, session: Session) -> list[BrokerLink]:
        """The connection to the server, and to other brokers that it uses. Raises SettingInvalid."""
        return broker_links(
            registered,
            lambda: self._connection.server_url,
            Uses(
                receive=partial(self._assignments.receive_wakeups, session=session),
                send_plain=partial(self._send_reports, sealed=bytes),
                send_sealed=partial(self._send_reports, sealed=session.sealed),
            ),
            wakeups_url=self._settings.wakeups_url,
            reports_url=self._settings.reports_url,
        )

    async def _send_reports(self, broker: WorkerBroker, sealed: Callable[[bytes], bytes]) -> None:
        self._outbox.restart()
        await self._outbox.run(broker, sealed)

    def _advertised_host(self) -> str:
        """The address of this machine on the route to the server, or the one in the settings."""
        if self._settings.host is not None:
            return self._settings.host
        if self._settings.interface is not None:
            return address_of(self._settings.interface)
        server = urlsplit(self._connection.server_url)
        try:
            return address_towards(server.hostname or "127.0.0.1", server.port or 80)
        except OSError as error:
            raise SettingInvalid(f"--server names {self._settings.server_url}: {error}") from error


def _greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the server's probe: this process is alive."""
    writer.write(b".")
    writer.close()
