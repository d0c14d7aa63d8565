"""One assignment on this worker, from the claim to the last report."""

from __future__ import annotations

import asyncio
import logging

from headway.core.facts import (
    CheckpointDamaged,
    OutputsStored,
    PrepareFailed,
    WorkerFailed,
    WorkerStopping,
    WorkingDirectoryReady,
)
from headway.core.protocol import Claimed, Inquiry
from headway.errors import (
    AnswerUnreadable,
    CannotStartRanks,
    CheckpointCorrupt,
    ClaimRefused,
    EnvironmentFailed,
    HeadwayError,
    InputUnusable,
    Unavailable,
)
from headway.formats.metric_patterns import MetricPatterns
from headway.rank_protocol.record_bounds import clean_text
from headway.worker.attempt_files import attempt_folder
from headway.worker.attendance import Attendance
from headway.worker.checkpoint_watch import CheckpointWatch
from headway.worker.checkpoints import CheckpointSender
from headway.worker.devices import Device
from headway.worker.fact_queue import FactQueue
from headway.worker.inquiries import Inquiries
from headway.worker.launcher import Launcher
from headway.worker.lifecycle import Lifecycle
from headway.worker.meeting_ports import MeetingPorts
from headway.worker.outputs import Stored, store_results
from headway.worker.own_faults import is_own_fault
from headway.worker.phase import Phase, StopRequest
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
"""Time for the other workers to write the stacks of their ranks, before any rank is ended."""
_NOTICE_SECONDS = 1.0
"""A signal to all of a worker's processes reaches a build and the worker within this time of each other."""


class RunningAssignment:
    """Goes through the phases (see `phase`) and does the work of each.

    Any error ends the attempt with its cause as a fact, and frees the slots.
    """

    def __init__(self, session: Session, job: str, attempt: int) -> None:
        self.key = session.key(job, attempt)
        self.session = session
        self._folder = attempt_folder(session.home, self.key)
        self._lifecycle = Lifecycle()
        self._facts = FactQueue()
        self._inquiries = Inquiries(self._folder, session.connection)
        self._reporter: Reporter | None = None
        self._attendance: Attendance | None = None
        self._writing_stacks: asyncio.Task[None] | None = None

    @property
    def phase(self) -> Phase:
        """The current phase."""
        return self._lifecycle.phase

    @property
    def logged_step(self) -> int | None:
        """The newest step that its ranks logged."""
        return None if self._reporter is None else self._reporter.logged_step

    # Requests from the server and from the worker

    def wake(self) -> None:
        """The assignment changed at the server."""
        self._lifecycle.wake()

    async def stop(self, request: StopRequest) -> None:
        """End the ranks, even if they have not started yet."""
        if request.worker_stops and not self._lifecycle.worker_stops:
            self._facts.put(WorkerStopping())
        self._lifecycle.ask_to_stop(request)
        stop = self._lifecycle.stop
        if self._attendance is not None and stop is not None:
            await self._attendance.stop(stop.grace_seconds)

    async def stop_with_stacks(self, request: StopRequest) -> None:
        """End the ranks of a stalled job. Running ranks write their stacks first."""
        if self._lifecycle.write_stacks():
            self._writing_stacks = asyncio.create_task(self._stop_after_stacks(request))
        elif self.phase is not Phase.WRITING_STACKS:
            await self.stop(request)

    async def _stop_after_stacks(self, request: StopRequest) -> None:
        """Write the stacks on all workers, then stop: once one rank is gone, ranks that wait for it fail without
        stacks.
        """
        if self._attendance is not None:
            await self._attendance.keep_stacks()
        await asyncio.sleep(_STACKS_SECONDS)
        await self.stop(request)

    def all_finished(self) -> None:
        """Every rank of the attempt, on all workers, has finished."""
        if self._attendance is not None:
            self._attendance.all_finished()

    def watched(self, watched: bool) -> None:
        """Whether a user follows the job: its reports are sent more often then."""
        if self._reporter is not None:
            self._reporter.watched = watched

    async def inquire(self, inquiry: Inquiry) -> None:
        """Answer a user's inquiry."""
        if self._attendance is not None:
            await self._attendance.inquire(inquiry)
        else:
            await self._inquiries.begin(inquiry, None, {})

    # The phases

    async def run(self) -> None:
        """Run the assignment from the claim until its last report is in the spool."""
        try:
            with MeetingPorts(self.session.host) as ports:
                claimed = await self._claim(ports)
                if claimed is not None:
                    await self._run_claimed(claimed, ports)
        except CannotStartRanks as error:
            _log.error("Attempt %d of job %s is refused: %s", self.key.attempt, self.key.job, error)
            await self._refuse()
        finally:
            self._lifecycle.enter(Phase.ENDED)

    async def _claim(self, ports: MeetingPorts) -> Claimed | None:
        while True:
            try:
                return await self.session.connection.claim(self.key.job, self.key.attempt, ports.endpoint)
            except Unavailable:
                await asyncio.sleep(_LOOK_SECONDS)  # the server's deadline or its answer ends this wait
                if self._lifecycle.stop is not None:
                    return None
            except AnswerUnreadable as error:
                _log.error("Attempt %d of job %s is refused: %s", self.key.attempt, self.key.job, error)
                await self._refuse()
                return None
            except HeadwayError as error:
                _log.info("Attempt %d of job %s was not claimed: %s", self.key.attempt, self.key.job, error)
                return None

    async def _run_claimed(self, claimed: Claimed, ports: MeetingPorts) -> None:
        slots = self.session.slots.take(claimed.rank_count)
        if slots is None:
            await self._refuse()
            return
        try:
            self._reporter = reporter = self._open_reports(claimed, self.session.devices.of_slots(slots))
        except Exception:  # without a place for reports, the worker can only tell the server that it has no room
            _log.exception("Attempt %d of job %s is refused.", self.key.attempt, self.key.job)
            self.session.slots.give_back(slots)
            await self._refuse()
            return
        await self._run_reported(claimed, ports, reporter, slots)
        await reporter.report_last()

    async def _refuse(self) -> None:
        await self.session.connection.refuse(self.key.job, self.key.attempt)

    def _open_reports(self, claimed: Claimed, devices: list[Device]) -> Reporter:
        self._folder.mkdir(parents=True, exist_ok=True)
        of_ranks = zip(claimed.ranks, devices, strict=False)
        samples = ResourceSamples(
            self.session.timeouts.resource_sample_seconds,
            {rank: one.driver_index for rank, one in of_ranks if one.driver_index is not None},
        )
        files = RankFiles(
            self._folder,
            claimed.ranks,
            maximum_log_bytes=self.session.timeouts.maximum_log_bytes,
            patterns=MetricPatterns(claimed.spec.metrics),
        )
        stream = SpooledStream(stream_folder(self.session.home, self.key), self.key)
        outbox, memory_bytes = self.session.outbox, claimed.spec.memory_bytes
        reporter = Reporter(stream, files, outbox, self._facts, samples=samples, memory_bytes=memory_bytes)
        outbox.add(stream)
        return reporter

    async def _run_reported(self, claimed: Claimed, ports: MeetingPorts, reporter: Reporter, slots: list[int]) -> None:
        """Everything whose failure can be reported, until the slots are free."""
        prepared: Prepared | None = None
        launcher: Launcher | None = None
        try:
            prepared = await self._prepare(claimed, reporter)
            if prepared is not None:
                launcher = await self._launch(claimed, ports, prepared, slots)
            if prepared is not None and launcher is not None:
                warnings = await self._look_after(claimed, prepared, reporter, launcher)
                await self._store_outputs(claimed, prepared, warnings)
        except Exception as error:
            # Its ranks have ended. Without a report, the whole gang would wait for them.
            _log.exception("A defect in attempt %d of job %s; please report it.", self.key.attempt, self.key.job)
            self._facts.put(WorkerFailed(error=clean_text(f"{type(error).__name__}: {error}")[:1_000]))
        finally:
            self._lifecycle.enter(Phase.RELEASING)
            try:
                if launcher is not None:
                    await launcher.end(0.0)
                if prepared is not None:
                    await self.session.preparation.release(claimed, prepared)
            except Exception:
                _log.exception("A defect at the end of job %s; please report it.", self.key.job)
            finally:
                self.session.slots.give_back(slots)

    async def _prepare(self, claimed: Claimed, reporter: Reporter) -> Prepared | None:
        """Prepare, and meanwhile report what it prints. None if it failed or the attempt must not start any more."""
        self._lifecycle.enter(Phase.PREPARING)
        preparing = asyncio.create_task(self.session.preparation.prepare(claimed, self._folder))
        try:
            while not preparing.done() and self._lifecycle.stop is None:
                await asyncio.wait({preparing}, timeout=_LOOK_SECONDS)
                await reporter.report_new({})
            if not preparing.done():
                return None
            prepared = preparing.result()
        except (HeadwayError, OSError, ExceptionGroup) as error:
            await self._cannot_prepare(claimed, error)
            return None
        finally:
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)
        self._facts.put(WorkingDirectoryReady(fresh=prepared.fresh, changed_count=prepared.changed_count))
        if claimed.spec.trainer is None:
            reporter.files.read_events({"work": prepared.work, "output": prepared.output})
        if claimed.checkpoint is not None and prepared.restored is not None:
            reporter.watch_restored(prepared.restored, claimed.checkpoint.step)
        reporter.watch_left(prepared.left)
        return prepared

    async def _cannot_prepare(self, claimed: Claimed, error: Exception) -> None:
        if isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]  # the first of the blocks that failed
        if isinstance(error, CheckpointCorrupt) and claimed.checkpoint is not None:
            damaged = claimed.checkpoint
            words = str(error)[:4000]
            self._facts.put(CheckpointDamaged(attempt=damaged.attempt, step=damaged.step, job=damaged.job, error=words))
        environment = isinstance(error, EnvironmentFailed)
        if environment:
            await self._lifecycle.wait_for_stop(_NOTICE_SECONDS)
        if not self._lifecycle.worker_stops:  # otherwise the signal that ended the worker ended the build as well
            self._cannot_start(error, environment=environment)

    def _cannot_start(self, error: Exception, *, environment: bool) -> None:
        _log.error("Attempt %d of job %s cannot start: %s", self.key.attempt, self.key.job, error)
        self._facts.put(
            PrepareFailed(
                error=clean_text(str(error))[:4000],
                environment=environment,
                input_unusable=isinstance(error, InputUnusable),
                own_fault=is_own_fault(error),
            )
        )

    async def _launch(
        self, claimed: Claimed, ports: MeetingPorts, prepared: Prepared, slots: list[int]
    ) -> Launcher | None:
        """Start the ranks once every worker has claimed. None if they do not start."""
        self._lifecycle.enter(Phase.MEETING)
        endpoint = await self._endpoint(claimed, ports)
        if endpoint is None:
            return None
        self._lifecycle.enter(Phase.LAUNCHING)
        store = ports.listener if claimed.group_rank == 0 else None
        devices = self.session.devices.of_slots(slots)
        try:
            plan = launch_plan(claimed, prepared, self.session, devices, folder=self._folder, endpoint=endpoint)
            launcher = await prepared.forkserver.launch(plan, store)
        except (HeadwayError, OSError) as error:
            self._cannot_start(error, environment=False)
            return None
        prepared.unstored = True  # until they are stored
        ports.launched()
        return launcher

    async def _endpoint(self, claimed: Claimed, ports: MeetingPorts) -> str | None:
        """The rendezvous store's address, once every worker has claimed. None if the ranks must not start."""
        while self._lifecycle.stop is None:
            if claimed.endpoint is not None:
                return claimed.endpoint
            await self._lifecycle.wait_for_news()
            if self._lifecycle.stop is None:
                try:
                    claimed = await self.session.connection.claim(self.key.job, self.key.attempt, ports.endpoint)
                except ClaimRefused:
                    return None
                except Unavailable:
                    self._lifecycle.wake()
                    await asyncio.sleep(_LOOK_SECONDS)
        return None

    async def _look_after(
        self, claimed: Claimed, prepared: Prepared, reporter: Reporter, launcher: Launcher
    ) -> list[str]:
        """Wait until all ranks have ended and their last checkpoint is stored. Returns warnings for the user."""
        sender = CheckpointSender(claimed, self._folder, self.session.connection, self._facts)
        watch = None
        if claimed.first_rank == 0 and claimed.spec.trainer is None:
            given = claimed.checkpoint
            last_count = given.step if given is not None and given.counted else 0
            watch = CheckpointWatch(prepared.checkpoint_files, self._folder, prepared.restored, last_count=last_count)
        self._attendance = attendance = Attendance(
            claimed,
            self._folder,
            launcher,
            reporter,
            self._inquiries,
            self.session.timeouts,
            facts=self._facts,
            lifecycle=self._lifecycle,
        )
        self._lifecycle.launch()
        sending = asyncio.create_task(sender.run())
        try:
            if self._lifecycle.stop is not None:
                await attendance.stop(self._lifecycle.stop.grace_seconds)
            await attendance.run(sender, watch)
            self._lifecycle.enter(Phase.STORING)
            await self._wait_for_parts(sender, sending)
        finally:
            self._attendance = None
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return [*attendance.warnings, *reporter.files.warnings]

    async def _wait_for_parts(self, sender: CheckpointSender, sending: asyncio.Task[None]) -> None:
        """Wait until the saved parts are sent: the job continues from them. A worker that stops has a time limit."""
        waiting = asyncio.create_task(sender.wait())
        while not (waiting.done() or sending.done() or self._lifecycle.out_of_time()):
            await asyncio.wait({waiting, sending}, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    async def _store_outputs(self, claimed: Claimed, prepared: Prepared, warnings: list[str]) -> None:
        """Store the outputs of the ranks, also of a failed attempt. This is the last work of the assignment."""
        try:
            stored = await store_results(
                claimed,
                prepared,
                self.session.preparation.work_folders,
                self.session.connection,
                out_of_time=self._lifecycle.out_of_time,
            )
        except Exception as error:
            _log.exception("A defect while storing outputs of job %s; please report it.", self.key.job)
            stored = Stored(problems=[f"The outputs were not stored: {error}."], cut_off=True)
        self._facts.put(*stored.facts)
        if not (
            self._lifecycle.course.abandoned and stored.cut_off
        ):  # otherwise a finished job would run again elsewhere
            said = clean_text(" ".join([*warnings, *stored.problems]))
            self._facts.put(OutputsStored(warning=said[:1000] or None))
