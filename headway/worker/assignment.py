"""One assignment on this worker, from the claim to the last report."""

from __future__ import annotations

import asyncio
import logging
import time

from headway.core.facts import (
    CheckpointDamaged,
    Fact,
    OutputsStored,
    PrepareFailed,
    WorkerFailed,
    WorkerStopping,
    WorkingDirectoryReady,
)
from headway.core.protocol import Claimed, Inquiry
from headway.errors import (
    AnswerUnreadable,
    CheckpointCorrupt,
    ClaimRefused,
    EnvironmentFailed,
    HeadwayError,
    Unavailable,
)
from headway.formats.metric_patterns import MetricPatterns
from headway.rank_protocol.record_bounds import clean_text
from headway.worker.attempt_files import attempt_folder
from headway.worker.attendance import Attendance
from headway.worker.checkpoint_watch import CheckpointWatch
from headway.worker.checkpoints import CheckpointSender
from headway.worker.inquiries import Inquiries
from headway.worker.launcher import Launcher
from headway.worker.meeting_ports import MeetingPorts
from headway.worker.outputs import Stored, store_results
from headway.worker.own_faults import is_own_fault
from headway.worker.plan import launch_plan
from headway.worker.preparation import Prepared
from headway.worker.rank_files import RankFiles
from headway.worker.reporter import Reporter
from headway.worker.resource_samples import ResourceSamples
from headway.worker.session import Session
from headway.worker.spool import SpooledStream, stream_folder

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25
_STACKS_SECONDS = 1.0
_NOTICE_SECONDS = 1.0
"""A signal to all of a worker's processes comes to a build and to the worker within this time."""


class RunningAssignment:
    """Claims, prepares, launches, reports, stores. Facts are reported at once, streams about once a second.

    `busy`: it prepares, or stores what the ranks left, for which the server grants more time.
    """

    def __init__(self, session: Session, job: str, attempt: int) -> None:
        self.key = session.key(job, attempt)
        self.claimed = False
        self.busy = False
        self.done = False
        self._session = session
        self._folder = attempt_folder(session.home, self.key)
        self._woken = asyncio.Event()
        self._stopping: float | None = None
        self._attendance: Attendance | None = None
        self._facts: list[Fact] = []
        self._processes: dict[int, int] = {}
        self._inquiries = Inquiries(self._folder, session.connection)
        self._abandoned = self._worker_stops = False
        self._reporter: Reporter | None = None
        self._writing_stacks: asyncio.Task[None] | None = None
        self._samples = ResourceSamples(session.timeouts.resource_sample_seconds)
        self._store_until = 0.0

    @property
    def logged_step(self) -> int | None:
        """The newest step that its ranks logged."""
        return None if self._reporter is None else self._reporter.files.logged_step

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
        if self._attendance is not None:
            await self._attendance.stop(self._stopping, worker_stops=worker_stops)

    def all_finished(self) -> None:
        """Every rank of the attempt, here and elsewhere, has said that it finished."""
        if self._attendance is not None:
            self._attendance.all_finished()

    async def _stop_after_stacks(self, grace_seconds: float) -> None:
        """Once a rank is gone, those that wait for it fail and can tell nothing: so all workers write, then stop."""
        if self._attendance is not None:
            await self._attendance.keep_stacks()
        await asyncio.sleep(_STACKS_SECONDS)
        await self.stop(grace_seconds)

    async def run(self) -> None:
        """The whole life of the assignment; it ends with the last report in the spool."""
        try:
            with MeetingPorts(self._session.host) as ports:
                claimed = await self._claim(ports)
                if claimed is not None:
                    await self._run_claimed(claimed, ports)
        finally:
            self.done = True

    async def _claim(self, ports: MeetingPorts) -> Claimed | None:
        while True:
            try:
                return await self._session.connection.claim(self.key.job, self.key.attempt, ports.endpoint)
            except Unavailable:
                await asyncio.sleep(_LOOK_SECONDS)  # the server's deadline, or its answer, ends this
                if self._stopping is not None:
                    return None
            except AnswerUnreadable as error:
                _log.error("Attempt %d of job %s is refused: %s", self.key.attempt, self.key.job, error)
                await self._session.connection.refuse(self.key.job, self.key.attempt)
                return None
            except HeadwayError as error:
                _log.info("Attempt %d of job %s was not claimed: %s", self.key.attempt, self.key.job, error)
                return None

    async def _run_claimed(self, claimed: Claimed, ports: MeetingPorts) -> None:
        slots = self._session.slots.take(claimed.rank_count)
        if slots is None:
            await self._session.connection.refuse(self.key.job, self.key.attempt)
            return
        self.claimed = self.busy = True
        prepared: Prepared | None = None
        launcher: Launcher | None = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._reporter = reporter = self._make_reporter(claimed)
            prepared = await self._prepare(claimed, reporter)
            if prepared is not None:
                self._facts.append(WorkingDirectoryReady(fresh=prepared.fresh, changed_count=prepared.changed_count))
                if claimed.spec.trainer is None:
                    reporter.files.read_events({"work": prepared.work, "output": prepared.output})
                if claimed.checkpoint is not None and prepared.restored is not None:
                    reporter.watch_restored(prepared.restored, claimed.checkpoint.step)
                reporter.watch_left(prepared.left)
                launcher = await self._launch(claimed, ports, prepared, slots)
            if prepared is not None and launcher is not None:
                ports.launched()
                warnings = await self._run_launched(claimed, prepared, reporter, launcher)
                await self._store_outputs(claimed, prepared, warnings)
        except Exception as error:
            # Its ranks are gone by now; were that not reported, the whole gang would wait for it.
            _log.exception("A defect in attempt %d of job %s; please report it.", self.key.attempt, self.key.job)
            self._facts.append(WorkerFailed(error=clean_text(f"{type(error).__name__}: {error}")[:1_000]))
        finally:
            self.busy = False
            try:
                if launcher is not None:
                    await launcher.end(0.0)
                if prepared is not None:
                    await self._session.preparation.release(claimed, prepared)
            except Exception:
                _log.exception("A defect at the end of job %s; please report it.", self.key.job)
            finally:
                self._session.slots.give_back(slots)
        if self._reporter is None:  # there is no place for reports on the disk, so the server is told what it can be
            await self._session.connection.refuse(self.key.job, self.key.attempt)
        else:
            await self._reporter.report_last()

    def _make_reporter(self, claimed: Claimed) -> Reporter:
        files = RankFiles(
            self._folder,
            claimed.ranks,
            maximum_log_bytes=self._session.timeouts.maximum_log_bytes,
            patterns=MetricPatterns(claimed.spec.metrics),
        )
        stream = SpooledStream(stream_folder(self._session.home, self.key), self.key)
        self._session.outbox.add(stream)
        return Reporter(
            stream,
            files,
            self._session.outbox,
            facts=self._facts,
            processes=self._processes,
            samples=self._samples,
            memory_bytes=claimed.spec.memory_bytes,
        )

    async def _run_launched(
        self, claimed: Claimed, prepared: Prepared, reporter: Reporter, launcher: Launcher
    ) -> list[str]:
        """Until no rank is left, and what they saved last is stored, for the next attempt to start from. Warnings."""
        sender = CheckpointSender(claimed, self._folder, self._session.connection)
        watch = None
        if claimed.first_rank == 0 and claimed.spec.trainer is None:
            watch = CheckpointWatch(prepared.checkpoint_files, self._folder, prepared.restored)
        self._attendance = attendance = Attendance(
            claimed,
            self._folder,
            launcher,
            reporter,
            self._inquiries,
            self._session.timeouts,
            facts=self._facts,
            processes=self._processes,
        )
        sending = asyncio.create_task(sender.run(self._facts.append))
        try:
            if self._stopping is not None:
                await attendance.stop(self._stopping, worker_stops=self._worker_stops)
            await attendance.run(sender, watch)
            self.busy = True
            await self._wait_for_parts(sender, sending)
        finally:
            self._attendance = None
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return [*attendance.warnings, *reporter.files.warnings]

    async def _wait_for_parts(self, sender: CheckpointSender, sending: asyncio.Task[None]) -> None:
        """Wait until what the ranks saved is sent. A worker that stops has a grace time: the job continues from it."""
        waiting = asyncio.create_task(sender.wait())
        grace_seconds = self._session.timeouts.save_grace_seconds if self._worker_stops else 0.0
        self._store_until = time.monotonic() + grace_seconds
        while not (waiting.done() or sending.done()) and (not self._abandoned or time.monotonic() < self._store_until):
            await asyncio.wait({waiting, sending}, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    async def _prepare(self, claimed: Claimed, reporter: Reporter) -> Prepared | None:
        """Prepare, while what that prints is reported; None if it failed or the attempt is not to start any more."""
        preparing = asyncio.create_task(self._session.preparation.prepare(claimed, self._folder))
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
            if isinstance(error, EnvironmentFailed):
                await asyncio.sleep(_NOTICE_SECONDS)
            if not self._worker_stops:  # else what ended the worker ended the build as well
                self._cannot_start(error, environment=isinstance(error, EnvironmentFailed))
            return None
        finally:
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)

    async def _launch(
        self, claimed: Claimed, ports: MeetingPorts, prepared: Prepared, slots: list[int]
    ) -> Launcher | None:
        """Start the ranks, once every worker has claimed; None if they do not start."""
        self.busy = False  # from here on the server waits no longer than for a claim
        endpoint = await self._endpoint(claimed, ports)
        if endpoint is None:
            return None
        devices = self._session.devices.of_slots(slots)
        of_ranks = zip(claimed.ranks, devices, strict=False)
        self._samples.devices = {rank: one.driver_index for rank, one in of_ranks if one.driver_index is not None}
        plan = launch_plan(claimed, prepared, self._session, devices, folder=self._folder, endpoint=endpoint)
        store = ports.listener if claimed.group_rank == 0 else None
        try:
            launcher = await prepared.forkserver.launch(plan, store)
            prepared.unstored = True  # until they are stored
            return launcher
        except (HeadwayError, OSError) as error:
            self._cannot_start(error, environment=False)
            return None

    def _cannot_start(self, error: Exception, *, environment: bool) -> None:
        _log.error("Attempt %d of job %s cannot start: %s", self.key.attempt, self.key.job, error)
        own_fault = is_own_fault(error)
        words = clean_text(str(error))[:4000]
        self._facts.append(PrepareFailed(error=words, environment=environment, own_fault=own_fault))

    async def _store_outputs(self, claimed: Claimed, prepared: Prepared, warnings: list[str]) -> None:
        """Keep what the ranks left, also of a failed attempt; then the assignment has done all it was for."""
        try:
            stored = await store_results(
                claimed,
                prepared,
                self._session.preparation.work_folders,
                self._session.connection,
                give_up=lambda: self._abandoned and time.monotonic() >= self._store_until,
            )
        except Exception as error:
            _log.exception("A defect while storing outputs of job %s; please report it.", self.key.job)
            stored = Stored(problems=[f"The outputs were not stored: {error}."], cut_off=True)
        self._facts += stored.facts
        if not (self._abandoned and stored.cut_off):  # else a job that has finished would run again elsewhere
            said = clean_text(" ".join([*warnings, *stored.problems]))
            self._facts.append(OutputsStored(warning=said[:1000] or None))

    async def inquire(self, inquiry: Inquiry) -> None:
        """Answer what a user asks of the ranks."""
        if self._attendance is not None:
            await self._attendance.inquire(inquiry)
        else:
            await self._inquiries.begin(inquiry, None, {})

    async def _endpoint(self, claimed: Claimed, ports: MeetingPorts) -> str | None:
        """The rendezvous store's address, once every worker has claimed; None if the ranks are not to start."""
        while self._stopping is None:
            if claimed.endpoint is not None:
                return claimed.endpoint
            await self._woken.wait()
            self._woken.clear()
            if self._stopping is None:
                try:
                    claimed = await self._session.connection.claim(self.key.job, self.key.attempt, ports.endpoint)
                except ClaimRefused:
                    return None
                except Unavailable:
                    self._woken.set()
                    await asyncio.sleep(_LOOK_SECONDS)
        return None
