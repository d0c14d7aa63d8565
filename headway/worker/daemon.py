"""The worker's daemon: registers, keeps its heartbeat and its broker, and runs its assignments."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import platform
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from headway import __version__
from headway.brokers.base import WorkerBroker
from headway.brokers.envelope import seal
from headway.core.protocol import (
    AssignmentKey,
    Heartbeat,
    HeartbeatAnswer,
    OpenAssignment,
    Registered,
    Registration,
    Timeouts,
)
from headway.core.status import AssignmentState
from headway.core.worker import WorkerDescription
from headway.errors import HeadwayError, SettingInvalid, Unavailable, WorkerLost
from headway.private_files import private_home
from headway.settings import WorkerSettings
from headway.worker.assignment import RunningAssignment
from headway.worker.attempt_files import finish_stream, remove_attempt
from headway.worker.broker_links import broker_links
from headway.worker.connection import Connection
from headway.worker.dataset_cache import DatasetCache
from headway.worker.devices import Devices
from headway.worker.environments import Environments
from headway.worker.interface import address_of, address_towards
from headway.worker.load import read_load
from headway.worker.outbox import Outbox
from headway.worker.place import Place
from headway.worker.preparation import Preparation
from headway.worker.session_file import former_token, write_session
from headway.worker.slots import Slots, usable_cores
from headway.worker.snapshot_cache import SnapshotCache
from headway.worker.spool import SpooledStream, leftover_streams, stream_folder
from headway.worker.survivors import end_survivors
from headway.worker.work_folders import WorkFolders

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5
_HOME_NAMES = ("worker.lock", "session.*", "spool", "attempts", "jobs", "cache", "environments", "packages")
"""What a worker's home has."""
_LAST_REPORTS_SECONDS = 5.0
_END_SECONDS = 30.0
"""Beyond their grace time, for assignments to end their processes and to report that."""
_CLOSE_SECONDS = 5.0


class Worker:
    """One start of a worker. When the server declares it lost it ends its ranks and registers under another id."""

    def __init__(self, settings: WorkerSettings, devices: Devices) -> None:
        self._settings = settings
        self._home = settings.home
        self._lock: BinaryIO | None = None
        self._devices = devices
        self._slots = Slots(settings.slots)
        self._threads = max(1, usable_cores() // settings.slots)
        self._connection = Connection(settings.server_url)
        self._environments = Environments(self._home, self._threads, settings.environment_cache_bytes)
        self._outbox = Outbox(self._stream_removed, self._heartbeat_soon)
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
        self._heartbeat_due = asyncio.Event()
        self._running: dict[tuple[str, int], RunningAssignment] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asides: set[asyncio.Task[None]] = set()
        self._timeouts = Timeouts()
        self._reached_at = time.monotonic()
        self._leaving = False

    async def run(self, stopped: asyncio.Event) -> None:
        """Work until `stopped` is set, then end the ranks, send what is left, and return.

        Raises SettingInvalid when the home is in use by another worker, or the token is refused.
        """
        self._take_home()
        end_survivors(self._home)
        for stream in leftover_streams(self._home):
            finish_stream(self._home, stream)
            self._outbox.add(stream)
        forkserver = asyncio.create_task(self._environments.run())
        probe = await asyncio.start_server(_greet, self._advertised_host(), 0)
        stopping = asyncio.create_task(stopped.wait())
        try:
            port = probe.sockets[0].getsockname()[1]
            while not stopped.is_set():
                session = asyncio.create_task(self._session(port))
                await asyncio.wait({session, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if stopped.is_set():
                    await self._shut_down()
                    session.cancel()
                await asyncio.gather(session, return_exceptions=stopped.is_set())
        finally:
            stopping.cancel()
            forkserver.cancel()
            probe.close()
            await asyncio.wait({forkserver, stopping}, timeout=_CLOSE_SECONDS)
            await self._connection.close()
            if self._lock is not None:
                self._lock.close()

    def _take_home(self) -> None:
        try:
            private_home(self._home, _HOME_NAMES)
            lock = (self._home / "worker.lock").open("ab")
        except OSError as error:
            raise SettingInvalid(f"The worker's home {self._home} cannot be used: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise SettingInvalid(
                f"Another worker runs in {self._home}. Give this one another --name or --home."
            ) from None
        self._lock = lock

    def _advertised_host(self) -> str:
        """The address of this machine on the route to the server, unless a setting names another."""
        if self._settings.host is not None:
            return self._settings.host
        if self._settings.interface is not None:
            return address_of(self._settings.interface)
        server = urlsplit(self._connection.server_url)
        try:
            return address_towards(server.hostname or "127.0.0.1", server.port or 80)
        except OSError as error:
            raise SettingInvalid(f"--server names {self._settings.server_url}: {error}") from error

    # One session: from a registration until the server declares this id lost

    async def _session(self, port: int) -> None:
        registered = await self._register(port)
        self._timeouts = registered.timeouts
        place = Place(
            worker=registered.id,
            home=self._home,
            host=self._advertised_host(),
            interface=self._settings.interface,
            threads_per_slot=self._threads,
            connection=self._connection,
            timeouts=self._timeouts,
            preparation=self._preparation,
            outbox=self._outbox,
            slots=self._slots,
            devices=self._devices,
        )
        helpers = [asyncio.create_task(keeping) for keeping in self._keep_brokers(registered, place)]
        helpers.append(asyncio.create_task(self._preparation.work_folders.keep_sweeping(self._connection.ended_jobs)))
        try:
            await self._keep_heartbeat(place)
        except WorkerLost as error:
            _log.warning("%s", error)
            await self._end_ranks(grace_seconds=0)
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.wait(helpers, timeout=_CLOSE_SECONDS)

    async def _register(self, port: int) -> Registered:
        description = WorkerDescription(
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
        session_file = self._home / "session.json"
        said = False
        while True:
            former = former_token(session_file)
            registration = Registration(worker=description, former_token=former)
            try:
                registered = await self._connection.register(registration, self._settings.token)
            except Unavailable as error:
                if not said:
                    _log.warning("%s Trying again until it does.", error)
                said = True
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            except HeadwayError as error:
                if former is not None and error.code == "not_authenticated":
                    session_file.unlink(missing_ok=True)  # the server has a new home, where that id means nothing
                    continue
                raise SettingInvalid(f"The server refuses this worker: {error}") from error
            write_session(session_file, registered)
            self._reached_at = time.monotonic()
            _log.info("Registered as %s with %d slots.", registered.name, self._settings.slots)
            return registered

    async def _keep_heartbeat(self, place: Place) -> None:
        counter, last_answer = 0, -1
        while True:
            known = [one for one in self._running.values() if one.claimed and not one.done]
            self._heartbeat_due.clear()
            try:
                heartbeat = Heartbeat(
                    counter=counter,
                    last_answer=last_answer,
                    preparing=tuple((one.key.job, one.key.attempt) for one in known if one.busy),
                    streams=self._outbox.keys(),
                    load=read_load(),
                    leaving=self._leaving,
                    steps={one.key.job: one.logged_step for one in known if one.logged_step is not None},
                )
                # One that is lost on the way must leave time for others within the lease.
                patience_seconds = self._timeouts.lease_seconds / 4
                answer = await self._connection.heartbeat(heartbeat, patience_seconds)
                last_answer = answer.counter
                self._reached_at = time.monotonic()
                await self._follow(answer, known, place)
            except WorkerLost:
                raise
            except HeadwayError as error:
                await self._unreached(error)
            except Exception:
                _log.exception("A defect while following the server's answer; the worker continues.")
            counter += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timeouts.heartbeat_seconds):
                    await self._heartbeat_due.wait()

    async def _follow(self, answer: HeartbeatAnswer, known: list[RunningAssignment], place: Place) -> None:
        """Do what the server says: start what is new, wake or stop what changed, end what is not listed."""
        for committed in answer.committed:
            self._outbox.committed(committed.stream, committed.through)
        listed = {(one.job, one.attempt): one for one in answer.assignments}
        for key, assignment in listed.items():
            running = self._running.get(key)
            if assignment.state is AssignmentState.STOPPING:
                if running is not None:
                    await running.stop(self._grace_seconds(assignment), stacks=assignment.stacks)
                else:
                    self._release_unknown(place, key)
            elif running is None:
                self._start(place, *key)
            elif assignment.ready:
                running.wake()
            if running is not None and assignment.finished:
                running.all_finished()
        for inquiry in answer.inquiries:
            asked = self._running.get((inquiry.job, inquiry.attempt))
            if asked is not None and not asked.done:
                self._spawn(asked.inquire(inquiry))
        for running in known:
            if (running.key.job, running.key.attempt) not in listed and not running.done:
                await running.stop(0)

    def _grace_seconds(self, assignment: OpenAssignment) -> float:
        if assignment.kill:
            return 0.0
        return self._timeouts.save_grace_seconds if assignment.saves else self._timeouts.stop_grace_seconds

    def _release_unknown(self, place: Place, key: tuple[str, int]) -> None:
        """The server believes that we have ranks which we never started: tell it that they are gone."""
        stream_key = AssignmentKey(job=key[0], attempt=key[1], worker=place.worker)
        if not self._outbox.sends(stream_key):
            stream = SpooledStream(stream_folder(self._home, stream_key), stream_key)
            finish_stream(self._home, stream)
            self._outbox.add(stream)

    async def _unreached(self, error: HeadwayError) -> None:
        away_seconds = time.monotonic() - self._reached_at
        if away_seconds > self._timeouts.orphan_timeout_seconds and self._running:
            _log.error("No server for %.0f s; ending the ranks. %s", away_seconds, error)
            await self._end_ranks(grace_seconds=self._timeouts.stop_grace_seconds)
        await asyncio.sleep(min(_RETRY_SECONDS, self._timeouts.heartbeat_seconds))

    def _keep_brokers(self, registered: Registered, place: Place) -> list[Coroutine[Any, Any, None]]:
        """What keeps the connection to the server, and to other brokers if it has such. Raises SettingInvalid."""

        def sealed(body: bytes) -> bytes:
            return seal(body, registered.id, registered.report_key)

        links = broker_links(
            registered,
            lambda: self._connection.server_url,
            wakeups_url=self._settings.wakeups_url,
            reports_url=self._settings.reports_url,
            receive=partial(self._receive_wakeups, place=place),
            send_plain=partial(self._send_reports, sealed=bytes),
            send_sealed=partial(self._send_reports, sealed=sealed),
        )
        return [link.keep(self._heartbeat_soon) for link in links]

    async def _send_reports(self, broker: WorkerBroker, sealed: Callable[[bytes], bytes]) -> None:
        self._outbox.restart()
        await self._outbox.run(broker, sealed)

    async def _receive_wakeups(self, broker: WorkerBroker, place: Place) -> None:
        while True:
            wakeup = await broker.wakeup()
            running = self._running.get((wakeup.job, wakeup.attempt))
            if running is None:
                self._start(place, wakeup.job, wakeup.attempt)
            elif not running.done:
                running.wake()
                self._heartbeat_soon()

    def _start(self, place: Place, job: str, attempt: int) -> None:
        running = self._running[job, attempt] = RunningAssignment(place, job, attempt)
        task = asyncio.create_task(self._run(running))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _spawn(self, aside: Coroutine[Any, Any, None]) -> None:
        """Do something beside all else, which may fail."""

        async def do() -> None:
            try:
                await aside
            except Exception as error:
                _log.warning("An inquiry was not answered, or files were not deleted: %s", error)

        task = asyncio.create_task(do())
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    async def _run(self, running: RunningAssignment) -> None:
        try:
            await running.run()
        except HeadwayError as error:
            _log.error("Attempt %d of job %s: %s", running.key.attempt, running.key.job, error)
        except Exception:
            _log.exception("A defect in attempt %d of job %s", running.key.attempt, running.key.job)
        finally:
            if not running.claimed:
                self._running.pop((running.key.job, running.key.attempt), None)

    def _stream_removed(self, key: AssignmentKey) -> None:
        self._running.pop((key.job, key.attempt), None)
        self._spawn(asyncio.to_thread(remove_attempt, self._home, key))

    def _heartbeat_soon(self) -> None:
        self._heartbeat_due.set()

    # The end

    async def _end_ranks(self, grace_seconds: float, *, worker_stops: bool = False) -> None:
        """End all ranks, and return once their assignments are done, or have taken longer than all their limits."""
        running = [one for one in self._running.values() if not one.done]
        await asyncio.gather(*(one.stop(grace_seconds, worker_stops=worker_stops) for one in running))
        if not self._tasks:
            return
        save_seconds = self._timeouts.save_grace_seconds if worker_stops else 0.0
        _, late = await asyncio.wait(self._tasks, timeout=grace_seconds + save_seconds + _END_SECONDS)
        if late:
            _log.error("%d assignments do not end; they are left as they are, and their processes killed.", len(late))
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=_END_SECONDS)

    async def _shut_down(self) -> None:
        """End the ranks, and give the last reports a moment to be committed; what is left is sent at the next start."""
        self._leaving = True
        self._heartbeat_soon()
        await self._end_ranks(self._timeouts.save_grace_seconds, worker_stops=True)
        deadline = time.monotonic() + _LAST_REPORTS_SECONDS
        while self._outbox.keys() and time.monotonic() < deadline:
            self._heartbeat_soon()
            await asyncio.sleep(0.1)
        if not self._outbox.keys():
            with contextlib.suppress(HeadwayError):  # without a server there is nobody to tell
                await self._connection.leave()


def _greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the server's probe: this process lives."""
    writer.write(b".")
    writer.close()
