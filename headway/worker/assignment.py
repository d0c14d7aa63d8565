"""One assignment on this worker, from the claim to the last report."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headway.core.facts import (
    Fact,
    PrepareFailed,
    RankEnded,
    RankFinished,
    RankStarted,
    Released,
    StageReached,
    WorkerStopping,
)
from headway.core.protocol import Claimed, StreamKey
from headway.errors import ClaimRefused, HeadwayError, Unavailable
from headway.worker.connection import Connection
from headway.worker.dataset_cache import DatasetCache
from headway.worker.forkserver import Forkserver, Launcher
from headway.worker.outbox import Outbox
from headway.worker.rank_files import RankFiles
from headway.worker.slots import Slots
from headway.worker.spool import SpooledStream, stream_folder
from headway.worker.survivors import remember_processes

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.2
_REPORT_SECONDS = 1.0
_DISK_FULL_SECONDS = 1.0
_TAIL_LINES = 50


@dataclass(frozen=True)
class Place:
    """What all assignments of a worker share."""

    worker: str
    home: Path
    host: str
    threads_per_slot: int
    connection: Connection
    forkserver: Forkserver
    outbox: Outbox
    datasets: DatasetCache
    slots: Slots


class RunningAssignment:
    """Claims, prepares, launches, reports. Facts are reported at once, streams at most once a second."""

    def __init__(self, place: Place, job: str, attempt: int) -> None:
        self.key = StreamKey(job=job, attempt=attempt, worker=place.worker)
        self.claimed = False
        self.preparing = False
        self.done = False
        self._place = place
        self._folder = attempt_folder(place.home, self.key)
        self._woken = asyncio.Event()
        self._stopping: float | None = None
        self._launcher: Launcher | None = None
        self._facts: list[Fact] = []
        self._errors: dict[int, dict[str, Any]] = {}
        self._finished: set[int] = set()
        self._reported_at = 0.0

    def wake(self) -> None:
        """Something about the assignment changed at the server."""
        self._woken.set()

    async def stop(self, grace_seconds: float, *, worker_stops: bool = False) -> None:
        """End the ranks, also before they have started."""
        if worker_stops and not self.done:
            self._facts.append(WorkerStopping())
        self._stopping = grace_seconds if self._stopping is None else min(grace_seconds, self._stopping)
        self._woken.set()
        if self._launcher is not None:
            await self._launcher.stop(self._stopping)

    async def run(self) -> None:
        """The whole life of the assignment; it ends with the last report in the spool."""
        try:
            with socket.create_server((self._place.host, 0), backlog=1024) as listener:
                claimed = await self._claim(listener)
                if claimed is not None:
                    await self._run_claimed(claimed, listener)
        finally:
            self.done = True

    async def _claim(self, listener: socket.socket) -> Claimed | None:
        endpoint = f"{self._place.host}:{listener.getsockname()[1]}"
        while True:
            try:
                return await self._place.connection.claim(self.key.job, self.key.attempt, endpoint)
            except Unavailable:
                await asyncio.sleep(_LOOK_SECONDS)  # the server's deadline, or its answer, ends this
                if self._stopping is not None:
                    return None
            except HeadwayError as error:
                _log.info("Attempt %d of job %s was not claimed: %s", self.key.attempt, self.key.job, error)
                return None

    async def _run_claimed(self, claimed: Claimed, listener: socket.socket) -> None:
        slots = self._place.slots.take(claimed.rank_count)
        if slots is None:
            await self._place.connection.refuse(self.key.job, self.key.attempt)
            return
        self.claimed = self.preparing = True
        stream = SpooledStream(stream_folder(self._place.home, self.key), self.key)
        self._place.outbox.add(stream)
        dataset_folder: Path | None = None
        files = RankFiles(self._folder, range(claimed.first_rank, claimed.first_rank + claimed.rank_count))
        try:
            try:
                if claimed.dataset is not None:
                    dataset_folder = await self._place.datasets.acquire(claimed.dataset)
                await self._place.forkserver.wait_until_warm()
                self.preparing = False
                endpoint = await self._endpoint(claimed, listener)
                if endpoint is not None:
                    plan = self._plan(claimed, endpoint, dataset_folder, slots)
                    store = listener if claimed.group_rank == 0 else None
                    self._launcher = await self._place.forkserver.launch(plan, store)
            except (HeadwayError, OSError, ExceptionGroup) as error:
                _log.error("Attempt %d of job %s cannot start: %s", self.key.attempt, self.key.job, error)
                self._facts.append(PrepareFailed(error=str(error)[:4000]))
            if self._launcher is not None:
                listener.close()
                await self._attend(stream, files)
        finally:
            self.preparing = False
            if self._launcher is not None:
                launcher, self._launcher = self._launcher, None
                launcher.close()
            if claimed.dataset is not None and dataset_folder is not None:
                self._place.datasets.release(claimed.dataset)
            self._place.slots.give_back(slots)
        await self._report_rest(stream, files)

    async def _endpoint(self, claimed: Claimed, listener: socket.socket) -> str | None:
        """The rendezvous store's address, once every worker has claimed; None if the ranks are not to start."""
        while self._stopping is None:
            if claimed.endpoint is not None:
                return claimed.endpoint
            await self._woken.wait()
            self._woken.clear()
            if self._stopping is None:
                own = f"{self._place.host}:{listener.getsockname()[1]}"
                try:
                    claimed = await self._place.connection.claim(self.key.job, self.key.attempt, own)
                except ClaimRefused:
                    return None
                except Unavailable:
                    self._woken.set()
                    await asyncio.sleep(_LOOK_SECONDS)
        return None

    def _plan(self, claimed: Claimed, endpoint: str, dataset_folder: Path | None, slots: list[int]) -> dict[str, Any]:
        self._folder.mkdir(parents=True, exist_ok=True)
        return {
            "job": claimed.job,
            "job_name": claimed.job_name,
            "attempt": claimed.attempt,
            "spec": claimed.spec.model_dump(mode="json"),
            "dataset": claimed.dataset.model_dump(mode="json") if claimed.dataset else None,
            "dataset_folder": str(dataset_folder) if dataset_folder else None,
            "first_rank": claimed.first_rank,
            "rank_count": claimed.rank_count,
            "world_size": claimed.world_size,
            "group_rank": claimed.group_rank,
            "group_count": claimed.group_count,
            "endpoint": endpoint,
            "folder": str(self._folder.absolute()),
            "threads": self._place.threads_per_slot,
            "accelerators": [index for index in slots if index < self._place.slots.accelerators],
            "server_url": self._place.connection.server_url,
            "rank_token": claimed.rank_token,
        }

    async def _attend(self, stream: SpooledStream, files: RankFiles) -> None:
        """Listen to the launcher and report what the ranks write, until none is left."""
        launcher = self._launcher
        if launcher is None:
            return
        if self._stopping is not None:
            await launcher.stop(self._stopping)
        messages = asyncio.create_task(launcher.message())
        try:
            while True:
                await asyncio.wait({messages}, timeout=_LOOK_SECONDS)
                message: dict[str, Any] = {}
                if messages.done():
                    said = messages.result()
                    if said is None or "gone" in said:
                        return
                    message = said
                    messages = asyncio.create_task(launcher.message())
                await self._report_new(stream, files, message)
        finally:
            messages.cancel()

    async def _report_new(self, stream: SpooledStream, files: RankFiles, message: dict[str, Any]) -> None:
        if "started" in message:
            self._facts += [RankStarted(rank=rank, pid=pid) for rank, pid in message["started"]]
            self._facts.append(StageReached(stage="launched", at=time.time()))
            remember_processes(self._folder, [message["launcher"], *(pid for _, pid in message["started"])])
        due = time.monotonic() - self._reported_at >= _REPORT_SECONDS
        if "ended" in message:
            await self._report(stream, files, ended=message)
        elif message or (due and (self._facts or files.grown(stream.offsets))):
            await self._report(stream, files)

    async def _report_rest(self, stream: SpooledStream, files: RankFiles) -> None:
        """The last report: what is left in the files, and that the slots are free."""
        self._facts.append(Released())
        await self._report(stream, files, last=True)

    async def _report(
        self, stream: SpooledStream, files: RankFiles, ended: dict[str, Any] | None = None, last: bool = False
    ) -> None:
        """Spool what is new. A full disk delays it: nothing is dropped, and the ranks go on."""
        self._reported_at = time.monotonic()
        while True:
            try:
                more = await asyncio.to_thread(self._spool, stream, files, ended, last)
            except OSError as error:
                _log.error("Reports of job %s wait for the disk: %s", self.key.job, error)
                await asyncio.sleep(_DISK_FULL_SECONDS)
                continue
            self._place.outbox.wake()
            if not more:
                return

    def _spool(self, stream: SpooledStream, files: RankFiles, ended: dict[str, Any] | None, last: bool) -> bool:
        """Write one report; true if the files have more. Facts of an end follow all that its rank wrote."""
        harvest = files.harvest(stream.offsets, final=last)
        facts = [*harvest.facts]
        finished = {fact.rank for fact in harvest.facts if isinstance(fact, RankFinished)}
        errors = {**self._errors, **harvest.errors}
        if not harvest.more:
            if ended is not None:
                facts += self._end_facts(files, ended, self._finished | finished, errors)
            facts = [*(fact for fact in self._facts if not isinstance(fact, Released)), *facts]
            facts += [fact for fact in self._facts if isinstance(fact, Released)]
        if facts or not harvest.empty or last:
            ends = last and not harvest.more
            stream.append(tuple(facts), harvest.lines, list(harvest.series.values()), harvest.offsets, last=ends)
        self._finished |= finished
        self._errors = errors
        if not harvest.more:
            self._facts.clear()
        return harvest.more

    def _end_facts(
        self, files: RankFiles, ended: dict[str, Any], finished: set[int], errors: dict[int, dict[str, Any]]
    ) -> list[Fact]:
        rank: int = ended["ended"]
        clean = ended["exit_code"] == 0
        error = errors.get(rank, {})
        facts: list[Fact] = []
        if clean and rank not in finished:
            facts.append(RankFinished(rank=rank))  # a script may leave by os._exit(0)
        failed = not clean and rank not in finished
        facts.append(
            RankEnded(
                rank=rank,
                at=ended["at"],
                exit_code=ended["exit_code"],
                signal=ended["signal"],
                finished=clean or rank in finished,
                stopped=ended["stopped"],
                secondary=bool(error.get("secondary")),
                error=error.get("error"),
                traceback=error.get("traceback"),
                log_tail=files.tail(rank, _TAIL_LINES) if failed and not ended["stopped"] else (),
            )
        )
        return facts


def attempt_folder(home: Path, key: StreamKey) -> Path:
    """Where the files of an attempt's ranks lie."""
    return home / "attempts" / f"{key.job}.{key.attempt}.{key.worker}"


def remove_attempt(home: Path, key: StreamKey) -> None:
    """Delete the files of an attempt whose last report is committed."""
    shutil.rmtree(attempt_folder(home, key), ignore_errors=True)


def finish_stream(home: Path, stream: SpooledStream) -> None:
    """Close a stream whose ranks are gone: a last report with what their files still have."""
    if stream.ended:
        return
    folder = attempt_folder(home, stream.key)
    files = RankFiles(folder, sorted(int(path.stem.removeprefix("rank-")) for path in folder.glob("rank-*.log")))
    more = True
    while more:
        harvest = files.harvest(stream.offsets, final=True)
        more = harvest.more
        facts = (*harvest.facts, *(() if more else (Released(),)))
        stream.append(facts, harvest.lines, list(harvest.series.values()), harvest.offsets, last=not more)
