"""One assignment on this worker, from the claim to the last report."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from headway.core.artifact import legal_name
from headway.core.facts import (
    CheckpointDamaged,
    Fact,
    LinksLeftOut,
    OutputsStored,
    PrepareFailed,
    RankStarted,
    StageReached,
    Stalled,
    WorkerStopping,
    WorkingDirectoryReady,
)
from headway.core.left_files import MAXIMUM_NAMED
from headway.core.protocol import Claimed, Inquiry, StreamKey
from headway.errors import CheckpointCorrupt, ClaimRefused, EnvironmentFailed, HeadwayError, Unavailable
from headway.metric_patterns import MetricPatterns
from headway.worker.attempt_files import attempt_folder
from headway.worker.checkpoint_watch import CheckpointWatch
from headway.worker.checkpoints import CheckpointSender, SavedPart
from headway.worker.forkserver import Launcher
from headway.worker.inquiries import Inquiries
from headway.worker.interface import interface_for_ranks
from headway.worker.meeting_ports import MeetingPorts
from headway.worker.outputs import store_results
from headway.worker.own_faults import is_own_fault
from headway.worker.place import Place
from headway.worker.plan import launch_plan
from headway.worker.preparation import Prepared
from headway.worker.rank_files import RankFiles
from headway.worker.reporter import Reporter
from headway.worker.resource_samples import ResourceSamples
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
        self._processes: dict[int, int] = {}
        self._inquiries = Inquiries(self._folder, place.connection)
        self._abandoned = self._worker_stops = self._stacks_kept = False
        self._stall: StallWatch | None = None
        self._writing_stacks: asyncio.Task[None] | None = None
        self._samples = ResourceSamples(place.timeouts.resource_sample_seconds)
        self._store_until = 0.0
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
            with MeetingPorts(self._place.host) as ports:
                claimed = await self._claim(ports)
                if claimed is not None:
                    await self._run_claimed(claimed, ports)
        finally:
            self.done = True

    async def _claim(self, ports: MeetingPorts) -> Claimed | None:
        while True:
            try:
                return await self._place.connection.claim(self.key.job, self.key.attempt, ports.endpoint)
            except Unavailable:
                await asyncio.sleep(_LOOK_SECONDS)  # the server's deadline, or its answer, ends this
                if self._stopping is not None:
                    return None
            except HeadwayError as error:
                _log.info("Attempt %d of job %s was not claimed: %s", self.key.attempt, self.key.job, error)
                return None

    async def _run_claimed(self, claimed: Claimed, ports: MeetingPorts) -> None:
        slots = self._place.slots.take(claimed.rank_count)
        if slots is None:
            await self._place.connection.refuse(self.key.job, self.key.attempt)
            return
        self.claimed = self.busy = True
        self._folder.mkdir(parents=True, exist_ok=True)
        reporter = self._reporter(claimed)
        prepared: Prepared | None = None
        try:
            prepared = await self._prepare(claimed, reporter)
            if prepared is not None:
                self._facts.append(WorkingDirectoryReady(fresh=prepared.fresh, changed_count=prepared.changed_count))
                if claimed.spec.trainer is None:
                    reporter.files.read_events({"work": prepared.work, "output": prepared.output})
                if claimed.checkpoint is not None and prepared.restored is not None:
                    reporter.watch_restored(prepared.restored, claimed.checkpoint.step)
                await self._launch(claimed, ports, prepared, slots)
            if prepared is not None and self._launcher is not None:
                ports.launched()
                await self._run_launched(claimed, prepared, reporter)
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
                await self._place.preparation.release(claimed, prepared)
            self._place.slots.give_back(slots)
        await reporter.report_last()

    def _reporter(self, claimed: Claimed) -> Reporter:
        stream = SpooledStream(stream_folder(self._place.home, self.key), self.key)
        self._place.outbox.add(stream)
        files = RankFiles(
            self._folder,
            claimed.ranks,
            maximum_log_bytes=self._place.timeouts.maximum_log_bytes,
            patterns=MetricPatterns(claimed.spec.metrics),
        )
        return Reporter(
            stream,
            files,
            self._place.outbox,
            facts=self._facts,
            processes=self._processes,
            samples=self._samples,
            memory_bytes=claimed.spec.memory_bytes,
        )

    async def _run_launched(self, claimed: Claimed, prepared: Prepared, reporter: Reporter) -> None:
        """Until no rank is left, and what they saved last is stored, for the next attempt to start from."""
        sender = CheckpointSender(claimed, self._folder, self._place.connection)
        sending = asyncio.create_task(sender.run(self._facts.append))
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
            watch = CheckpointWatch(prepared.checkpoint_files, self._folder, prepared.restored)
        try:
            await self._attend(reporter, sender, watch)
            self.busy = True
            if reporter.ended_well >= {*claimed.ranks}:
                await self._look_for_files(watch, reporter, sender, final=True)
            waiting = asyncio.create_task(sender.wait())
            # What ranks saved because their worker stops is what the job goes on from elsewhere, so it is waited for.
            grace_seconds = self._place.timeouts.save_grace_seconds if self._worker_stops else 0.0
            self._store_until = time.monotonic() + grace_seconds
            while not waiting.done() and (not self._abandoned or time.monotonic() < self._store_until):
                await asyncio.wait({waiting}, timeout=_LOOK_SECONDS)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _look_for_files(
        self, watch: CheckpointWatch | None, reporter: Reporter, sender: CheckpointSender, *, final: bool = False
    ) -> None:
        """See whether a program has written checkpoint files."""
        if watch is None:
            return
        step, ranks = reporter.files.logged_step, [*self._processes.values()]
        found = await watch.look(step, ranks, now=time.monotonic(), final=final)
        if isinstance(found, SavedPart):
            self._facts += sender.add(found)
            if watch is not None and watch.left_out:
                names = tuple(legal_name(name)[:1000] for name in watch.left_out[:MAXIMUM_NAMED])
                self._facts.append(LinksLeftOut(step=found.step, names=names, count=len(watch.left_out)))
        elif found is not None:
            self._facts.append(found)

    async def _look_for_stall(self, reporter: Reporter) -> None:
        """See whether the training stands still; then say so, for the server to end the attempt."""
        if self._stall is None:
            return
        step, now = reporter.files.logged_step, time.monotonic()
        if reporter.trained:
            self._stall.finishes(now)
        silent = self._stall.silent_seconds(step, now)
        if silent is None or self._stopping is not None:
            return
        self._stall = None
        stacks = await self._keep_stacks()
        _log.warning("Attempt %d of job %s stands still for %.0f s.", self.key.attempt, self.key.job, silent)
        absent = absent_ranks(stacks)
        self._facts.append(Stalled(step=step or 0, silent_seconds=silent, absent_ranks=absent))

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

    async def _prepare(self, claimed: Claimed, reporter: Reporter) -> Prepared | None:
        """Prepare, while what that prints is reported; None if it failed or the attempt is not to start any more."""
        preparing = asyncio.create_task(self._place.preparation.prepare(claimed, self._folder))
        try:
            while not preparing.done() and self._stopping is None:
                await asyncio.wait({preparing}, timeout=_LOOK_SECONDS)
                await reporter.report_new()
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

    async def _launch(self, claimed: Claimed, ports: MeetingPorts, prepared: Prepared, slots: list[int]) -> None:
        self.busy = False  # from here on the server waits no longer than for a claim
        endpoint = await self._endpoint(claimed, ports)
        if endpoint is None:
            return
        devices = self._place.devices.of_slots(slots)
        of_ranks = zip(claimed.ranks, devices, strict=False)
        self._samples.devices = {rank: one.driver_index for rank, one in of_ranks if one.driver_index is not None}
        plan = launch_plan(
            claimed,
            prepared,
            folder=self._folder,
            endpoint=endpoint,
            threads=self._place.threads_per_slot,
            device_variables=self._place.devices.variables(devices),
            interface=self._place.interface
            or interface_for_ranks(self._place.host, endpoint, claimed.group_rank, claimed.group_count),
            memory_look_seconds=self._place.timeouts.memory_look_seconds,
            server_url=self._place.connection.server_url,
        )
        store = ports.listener if claimed.group_rank == 0 else None
        try:
            self._launcher = await prepared.forkserver.launch(plan, store)
            prepared.unstored = True  # until they are stored
        except (HeadwayError, OSError) as error:
            self._cannot_start(error, environment=False)

    def _cannot_start(self, error: Exception, *, environment: bool) -> None:
        _log.error("Attempt %d of job %s cannot start: %s", self.key.attempt, self.key.job, error)
        own_fault = is_own_fault(error)
        self._facts.append(PrepareFailed(error=str(error)[:4000], environment=environment, own_fault=own_fault))

    async def _store_outputs(self, claimed: Claimed, prepared: Prepared) -> None:
        """Keep what the ranks left, also of a failed attempt; then the assignment has done all it was for."""
        stored = await store_results(
            claimed,
            prepared,
            self._place.preparation.work_folders,
            self._place.connection,
            give_up=lambda: self._abandoned and time.monotonic() >= self._store_until,
        )
        self._facts += stored.facts
        if not self._abandoned:
            self._facts.append(OutputsStored(warning=stored.warning))

    async def inquire(self, inquiry: Inquiry) -> None:
        """Answer what a user asks of the ranks."""
        await self._inquiries.begin(inquiry, self._launcher, dict(self._processes))

    async def _endpoint(self, claimed: Claimed, ports: MeetingPorts) -> str | None:
        """The rendezvous store's address, once every worker has claimed; None if the ranks are not to start."""
        while self._stopping is None:
            if claimed.endpoint is not None:
                return claimed.endpoint
            await self._woken.wait()
            self._woken.clear()
            if self._stopping is None:
                try:
                    claimed = await self._place.connection.claim(self.key.job, self.key.attempt, ports.endpoint)
                except ClaimRefused:
                    return None
                except Unavailable:
                    self._woken.set()
                    await asyncio.sleep(_LOOK_SECONDS)
        return None

    async def _attend(self, reporter: Reporter, sender: CheckpointSender, watch: CheckpointWatch | None) -> None:
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
                if messages.done():
                    message = messages.result()
                    if message is None or "gone" in message:
                        return
                    messages = asyncio.create_task(launcher.message())
                    await self._hear(message, reporter)
                    if "ended" in message and message["ended"] not in reporter.ended_well:
                        watch = None  # what it was writing may be there in half
                await self._look_for_files(watch, reporter, sender)
                await self._look_for_stall(reporter)
                await reporter.report_new()
                self.logged_step = reporter.files.logged_step
                for part in reporter.take_saved():
                    self._facts += sender.add(part)
        finally:
            messages.cancel()

    async def _hear(self, message: dict[str, Any], reporter: Reporter) -> None:
        """The launcher says that the ranks have started, that one has ended, or what a user's inquiry gave."""
        if "started" in message:
            self._processes.update(message["started"])
            reporter.files.name_processes({pid: rank for rank, pid in message["started"]})
            self._facts += [RankStarted(rank=rank, pid=pid) for rank, pid in message["started"]]
            self._facts.append(StageReached(stage="launched", at=time.time()))
            remember_processes(self._folder, [message["launcher"], *(pid for _, pid in message["started"])])
        elif "ended" in message:
            self._processes.pop(message["ended"], None)
            await reporter.report_end(message)
        elif "answer" in message:
            await self._inquiries.ended(message)
