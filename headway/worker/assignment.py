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

from headway.core.checkpoint import PartKind
from headway.core.facts import (
    CheckpointDamaged,
    CheckpointNotSaved,
    CheckpointRestored,
    Fact,
    OutputsStored,
    PrepareFailed,
    RankEnded,
    RankFinished,
    RankStarted,
    Released,
    StageReached,
    Stalled,
    WorkerStopping,
)
from headway.core.protocol import Claimed, Inquiry, StreamKey, Timeouts
from headway.errors import CheckpointCorrupt, ClaimRefused, EnvironmentFailed, HeadwayError, Unavailable
from headway.metric_patterns import MetricPatterns
from headway.worker.checkpoint_watch import QUIET_SECONDS, CheckpointWatch
from headway.worker.checkpoints import CheckpointSender, SavedPart
from headway.worker.connection import Connection
from headway.worker.forkserver import Launcher
from headway.worker.inquiries import Inquiries
from headway.worker.interface import interface_for_ranks
from headway.worker.load import read_load
from headway.worker.memory_curve import MemoryCurves
from headway.worker.outbox import Outbox
from headway.worker.outputs import store_outputs
from headway.worker.plan import launch_plan
from headway.worker.preparation import Preparation, Prepared
from headway.worker.rank_files import RankFiles
from headway.worker.resource_samples import ResourceSamples
from headway.worker.slots import Slots
from headway.worker.spool import SpooledStream, stream_folder
from headway.worker.stacks import absent_ranks, joined, read_stacks
from headway.worker.stall_watch import StallWatch
from headway.worker.survivors import remember_processes

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25
_REPORT_SECONDS = 1.25
_DISK_FULL_SECONDS = 1.0
_TAIL_LINES = 50
_STACKS_SECONDS = 1.0


@dataclass(frozen=True)
class Place:
    """What all assignments of a worker share."""

    worker: str
    home: Path
    host: str
    interface: str | None
    threads_per_slot: int
    connection: Connection
    timeouts: Timeouts
    preparation: Preparation
    outbox: Outbox
    slots: Slots


class RunningAssignment:
    """Claims, prepares, launches, reports, stores. Facts are reported at once, streams about once a second.

    `busy`: it prepares, or stores what the ranks left, for which the server grants more time.
    `logged_step`: the newest step that its ranks logged.
    """

    def __init__(self, place: Place, job: str, attempt: int) -> None:
        self.key = StreamKey(job=job, attempt=attempt, worker=place.worker)
        self.claimed = False
        self.busy = False
        self.done = False
        self._place = place
        self._folder = attempt_folder(place.home, self.key)
        self._woken = asyncio.Event()
        self._stopping: float | None = None
        self._launcher: Launcher | None = None
        self._facts: list[Fact] = []
        self._errors: dict[int, dict[str, Any]] = {}
        self._finished: set[int] = set()
        self._saved: list[SavedPart] = []
        self._interrupted: set[int] = set()
        self._reported_at = self._looked_for_files_at = 0.0
        self._processes: dict[int, int] = {}
        self._inquiries = Inquiries(self._folder, place.connection)
        self._sender: CheckpointSender | None = None
        self._abandoned = self._worker_stops = self._warned_of_files = self._stacks_kept = False
        self._stall: StallWatch | None = None
        self._writing_stacks: asyncio.Task[None] | None = None
        self._samples = ResourceSamples(place.timeouts.resource_sample_seconds)
        self._memory = MemoryCurves()
        self._memory_bytes: int | None = None
        self.logged_step: int | None = None

    def wake(self) -> None:
        """Something about the assignment changed at the server."""
        self._woken.set()

    async def stop(self, grace_seconds: float, *, worker_stops: bool = False, stacks: bool = False) -> None:
        """End the ranks, also before they have started. With `stacks` they first write down where they are."""
        if stacks and self._stopping is None:
            if self._writing_stacks is None:
                self._writing_stacks = asyncio.create_task(self._stop_after_stacks(grace_seconds))
            return
        if worker_stops and not self.done:
            self._facts.append(WorkerStopping())
        self._worker_stops |= worker_stops
        self._abandoned |= worker_stops or grace_seconds == 0
        self._stopping = grace_seconds if self._stopping is None else min(grace_seconds, self._stopping)
        self._woken.set()
        if self._launcher is not None:
            await self._launcher.stop(self._stopping)

    async def _stop_after_stacks(self, grace_seconds: float) -> None:
        """Once a rank is gone, those that wait for it fail and can tell nothing: so all workers write, then stop."""
        await self._keep_stacks()
        await asyncio.sleep(_STACKS_SECONDS)
        await self.stop(grace_seconds)

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
        self.claimed = self.busy = True
        self._folder.mkdir(parents=True, exist_ok=True)
        stream = SpooledStream(stream_folder(self._place.home, self.key), self.key)
        self._place.outbox.add(stream)
        self._memory_bytes = claimed.spec.memory_bytes
        files = self._rank_files(claimed)
        prepared: Prepared | None = None
        try:
            prepared = await self._prepare(claimed, stream, files)
            if prepared is not None:
                await self._launch(claimed, listener, prepared, slots)
            if prepared is not None and self._launcher is not None:
                listener.close()
                await self._run_launched(claimed, prepared, stream, files)
                await self._store_outputs(claimed, prepared)
        except Exception:
            # Its ranks end below; were that not reported, the whole gang would wait for it.
            _log.exception("A defect in attempt %d of job %s; please report it.", self.key.attempt, self.key.job)
        finally:
            self.busy = False
            if self._launcher is not None:
                launcher, self._launcher = self._launcher, None
                launcher.close()
            if prepared is not None:
                self._place.preparation.release(claimed, prepared)
            self._place.slots.give_back(slots)
        await self._report_rest(stream, files)

    async def _run_launched(
        self, claimed: Claimed, prepared: Prepared, stream: SpooledStream, files: RankFiles
    ) -> None:
        """Until no rank is left, and what they saved last is stored, for the next attempt to start from."""
        sender = self._sender = CheckpointSender(claimed, self._folder, self._place.connection)
        sending = asyncio.create_task(sender.run(self._facts.append))
        if claimed.checkpoint is not None and claimed.checkpoint.kind is PartKind.FILES and claimed.first_rank == 0:
            # Whether the program looks at its files nobody can tell: they are where it asked for them.
            self._facts.append(CheckpointRestored(step=claimed.checkpoint.step))
        timeouts, spec = self._place.timeouts, claimed.spec
        self._stall = StallWatch(
            limit_seconds=spec.stall_seconds,
            minimum_seconds=timeouts.stall_minimum_seconds,
            startup_seconds=timeouts.startup_limit_seconds if spec.trainer is not None else None,
            finish_seconds=timeouts.finish_limit_seconds,
            now=time.monotonic(),
        )
        watch = None
        if claimed.first_rank == 0 and claimed.spec.trainer is None:
            watch = CheckpointWatch(prepared.checkpoint_files, self._folder)
        try:
            await self._attend(stream, files, watch)
            self.busy = True
            ranks = set(range(claimed.first_rank, claimed.first_rank + claimed.rank_count))
            ended_well = self._finished | self._interrupted >= ranks
            await self._look_for_files(watch, files, final=ended_well)
            self._send_saved()
            waiting = asyncio.create_task(sender.wait())
            # What ranks saved because their worker stops is what the job goes on from elsewhere, so it is waited for.
            deadline = time.monotonic() + (self._place.timeouts.save_grace_seconds if self._worker_stops else 0.0)
            while not waiting.done() and (not self._abandoned or time.monotonic() < deadline):
                await asyncio.wait({waiting}, timeout=_LOOK_SECONDS)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _look_for_files(self, watch: CheckpointWatch | None, files: RankFiles, *, final: bool = False) -> None:
        """See whether a program has written checkpoint files."""
        if watch is None or (not final and time.monotonic() - self._looked_for_files_at < QUIET_SECONDS):
            return
        self._looked_for_files_at = time.monotonic()
        try:
            part = await asyncio.to_thread(watch.look, files.logged_step, final=final)
        except OSError as error:
            _log.warning("Checkpoint files of job %s were not taken: %s", self.key.job, error)
            return
        if part is not None:
            self._saved.append(part)
        elif watch.restless and not self._warned_of_files:
            self._warned_of_files = True
            words = "its files have not been quiet for half a second in half a minute. Write them less often, or say "
            words += "when they are whole: run.save(folder, step)."
            self._facts.append(CheckpointNotSaved(step=files.logged_step or 0, rank=0, error=words))

    async def _look_for_stall(self, files: RankFiles) -> None:
        """See whether the training stands still; then say so, for the server to end the attempt."""
        silent = self._stall.silent_seconds(files.logged_step, time.monotonic()) if self._stall else None
        if silent is None or self._stopping is not None:
            return
        self._stall = None
        stacks = await self._keep_stacks()
        _log.warning("Attempt %d of job %s stands still for %.0f s.", self.key.attempt, self.key.job, silent)
        absent = absent_ranks(stacks)
        self._facts.append(Stalled(step=files.logged_step or 0, silent_seconds=silent, absent_ranks=absent))

    async def _keep_stacks(self) -> dict[int, str]:
        """Write where the ranks are into the attempt's outputs, once."""
        if self._stacks_kept or not self._processes:
            return {}
        self._stacks_kept = True
        stacks = await asyncio.to_thread(read_stacks, self._folder, dict(self._processes))
        path = self._folder / "output" / "stacks" / f"attempt-{self.key.attempt}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(joined(stacks))
        return stacks

    def _send_saved(self) -> None:
        if self._sender is not None:
            saved, self._saved = self._saved, []
            for part in saved:
                self._facts += self._sender.add(part)

    def _rank_files(self, claimed: Claimed) -> RankFiles:
        own_work = claimed.spec.trainer is None
        return RankFiles(
            self._folder,
            range(claimed.first_rank, claimed.first_rank + claimed.rank_count),
            maximum_log_bytes=self._place.timeouts.maximum_log_bytes,
            patterns=MetricPatterns(claimed.spec.metrics),
            event_folders=(self._folder / "work", self._folder / "output") if own_work else (),
        )

    async def _prepare(self, claimed: Claimed, stream: SpooledStream, files: RankFiles) -> Prepared | None:
        """Prepare, while what that prints is reported; None if it failed or the attempt is not to start any more."""
        preparing = asyncio.create_task(self._place.preparation.prepare(claimed, self._folder))
        try:
            while not preparing.done() and self._stopping is None:
                await asyncio.wait({preparing}, timeout=_LOOK_SECONDS)
                await self._report_new(stream, files, {})
            if not preparing.done():
                return None
            return preparing.result()
        except (HeadwayError, OSError, ExceptionGroup) as error:
            if isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
                error = error.exceptions[0]  # one block of many that were fetched
            if isinstance(error, CheckpointCorrupt) and claimed.checkpoint is not None:
                damaged = claimed.checkpoint
                self._facts.append(
                    CheckpointDamaged(
                        attempt=damaged.attempt, step=damaged.step, job=damaged.job, error=str(error)[:4000]
                    )
                )
            self._cannot_start(error, environment=isinstance(error, EnvironmentFailed))
            return None
        finally:
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)

    async def _launch(self, claimed: Claimed, listener: socket.socket, prepared: Prepared, slots: list[int]) -> None:
        self.busy = False  # from here on the server waits no longer than for a claim
        endpoint = await self._endpoint(claimed, listener)
        if endpoint is None:
            return
        devices = [index for index in slots if index < self._place.slots.accelerators]
        if devices:
            ranks = range(claimed.first_rank, claimed.first_rank + claimed.rank_count)
            self._samples.devices = dict(zip(ranks, devices, strict=False))
        plan = launch_plan(
            claimed,
            prepared,
            folder=self._folder,
            endpoint=endpoint,
            threads=self._place.threads_per_slot,
            accelerators=devices,
            interface=self._place.interface
            or interface_for_ranks(self._place.host, endpoint, claimed.group_rank, claimed.group_count),
            memory_look_seconds=self._place.timeouts.memory_look_seconds,
            server_url=self._place.connection.server_url,
        )
        store = listener if claimed.group_rank == 0 else None
        try:
            self._launcher = await prepared.forkserver.launch(plan, store)
        except (HeadwayError, OSError) as error:
            self._cannot_start(error, environment=False)

    def _cannot_start(self, error: Exception, *, environment: bool) -> None:
        _log.error("Attempt %d of job %s cannot start: %s", self.key.attempt, self.key.job, error)
        self._facts.append(PrepareFailed(error=str(error)[:4000], environment=environment))

    async def _store_outputs(self, claimed: Claimed, prepared: Prepared) -> None:
        """Keep what the ranks left, also of a failed attempt; then the assignment has done all it was for."""
        stored = await store_outputs(
            claimed, prepared.output, prepared.work, self._place.connection, lambda: self._abandoned
        )
        self._facts += stored.facts
        if stored.facts and claimed.group_rank == 0:
            self._facts.append(StageReached(stage="stored", at=time.time()))
        if not self._abandoned:
            self._facts.append(OutputsStored(warning=stored.warning))

    async def inquire(self, inquiry: Inquiry) -> None:
        """Answer what a user asks of the ranks."""
        await self._inquiries.begin(inquiry, self._launcher, dict(self._processes))

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

    async def _attend(self, stream: SpooledStream, files: RankFiles, watch: CheckpointWatch | None) -> None:
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
                self._memory.look(self._processes)
                await self._look_for_files(watch, files)
                await self._look_for_stall(files)
                await self._report_new(stream, files, message)
        finally:
            messages.cancel()

    async def _report_new(self, stream: SpooledStream, files: RankFiles, message: dict[str, Any]) -> None:
        if "answer" in message:
            await self._inquiries.ended(message)
            return
        if "started" in message:
            self._processes = dict(message["started"])
            files.rank_of_process = {pid: rank for rank, pid in message["started"]}
            self._facts += [RankStarted(rank=rank, pid=pid) for rank, pid in message["started"]]
            self._facts.append(StageReached(stage="launched", at=time.time()))
            remember_processes(self._folder, [message["launcher"], *(pid for _, pid in message["started"])])
        due = time.monotonic() - self._reported_at >= _REPORT_SECONDS
        sampled = due and self._samples.due() and bool(self._processes)
        if "ended" in message:
            self._processes.pop(message["ended"], None)
            await self._report(stream, files, ended=message)
        elif message or sampled or self._facts or (due and files.grown(stream.offsets)):
            await self._report(stream, files)
        if self._saved:
            self._send_saved()

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
        pending = [*self._facts]  # this is a thread: more may come meanwhile, and stays for the next report
        harvest = files.harvest(stream.offsets, final=last)
        if self._samples.due():
            for sample in self._samples.take(dict(self._processes)):
                harvest.add_point(sample.name, sample.rank, files.logged_step or 0, sample.at, sample.value)
        if self._stall is not None and any(isinstance(f, StageReached) and f.stage == "trained" for f in harvest.facts):
            self._stall.finishes(time.monotonic())
        facts = [*harvest.facts]
        finished = {fact.rank for fact in harvest.facts if isinstance(fact, RankFinished)}
        errors = {**self._errors, **harvest.errors}
        self._interrupted |= harvest.interrupted
        if not harvest.more:
            if ended is not None:
                facts += self._end_facts(files, ended, self._finished | finished, errors)
            facts = [*(fact for fact in pending if not isinstance(fact, Released)), *facts]
            facts += [fact for fact in pending if isinstance(fact, Released)]
        if facts or not harvest.empty or last:
            ends = last and not harvest.more
            stream.append(tuple(facts), harvest.lines, list(harvest.series.values()), harvest.offsets, last=ends)
        self._finished |= finished
        self._errors = errors
        self.logged_step = files.logged_step
        self._saved += harvest.saved
        if not harvest.more:
            del self._facts[: len(pending)]
        return harvest.more

    def _end_facts(
        self, files: RankFiles, ended: dict[str, Any], finished: set[int], errors: dict[int, dict[str, Any]]
    ) -> list[Fact]:
        rank: int = ended["ended"]
        clean = ended["exit_code"] == 0 and rank not in self._interrupted
        error = errors.get(rank, {})
        if ended["out_of_memory"]:
            error = {**error, "error": f"each rank may use {self._memory_bytes:,} bytes (--memory)"}
        elif ended["machine_out_of_memory"] and ended["signal"] == "SIGKILL":
            error = {**error, "hint": "the machine ran out of memory, and its kernel ended a process at that time"}
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
                stopped=ended["stopped"] or rank in self._interrupted,
                secondary=bool(error.get("secondary")),
                out_of_memory=bool(error.get("out_of_memory") or ended["out_of_memory"]),
                error=error.get("error"),
                hint=error.get("hint"),
                memory_curve=self._memory.of(rank, ended["at"], ended["peak_memory_bytes"]) if failed else (),
                worker_load=read_load() if failed else None,
                traceback=error.get("traceback"),
                step=files.logged_step,
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
    ranks = sorted(int(path.stem.removeprefix("rank-")) for path in folder.glob("rank-*.log"))
    files = RankFiles(folder, ranks, maximum_log_bytes=Timeouts().maximum_log_bytes)
    more = True
    while more:
        harvest = files.harvest(stream.offsets, final=True)
        more = harvest.more
        facts = (*harvest.facts, *(() if more else (Released(),)))
        stream.append(facts, harvest.lines, list(harvest.series.values()), harvest.offsets, last=not more)
