"""Watches the launched ranks of one attempt: hears the launcher, reports what ranks write, ends processes that hang."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import psutil

from headway.core.artifact import legal_name
from headway.core.facts import LinksLeftOut, NeverMet, RanksIdle, RankStarted, StageReached, Stalled
from headway.core.left_files import MAXIMUM_NAMED
from headway.core.protocol import Claimed, Inquiry, Timeouts
from headway.rank_protocol.launcher_messages import AllGone, CommandEnded, FromLauncher, RankExited, RanksStarted
from headway.rank_protocol.paths import output_folder
from headway.worker.checkpoint_watch import CheckpointWatch
from headway.worker.checkpoints import CheckpointSender, SavedPart
from headway.worker.exit_watch import ExitWatch
from headway.worker.fact_queue import FactQueue
from headway.worker.idle_watch import IdleWatch
from headway.worker.inquiries import Inquiries
from headway.worker.launcher import Launcher
from headway.worker.launcher_watch import LauncherWatch
from headway.worker.lifecycle import Lifecycle
from headway.worker.process_tree import is_alive
from headway.worker.regular_files import write_new
from headway.worker.reporter import Reporter
from headway.worker.stacks import absent_ranks, joined, read_stacks
from headway.worker.stall_watch import StallWatch
from headway.worker.survivors import remember_processes

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25
_END_SECONDS = 15.0
"""Time for a launcher that was told to end, to kill the remaining processes and exit."""
_NOTICE_SECONDS = 1.0
"""A signal to all of a worker's processes reaches the ranks and the worker within this time of each other."""


class Attendance:
    """Lasts from the launch until all processes have ended.

    `warnings`: sentences for the user about problems that did not make the job fail.
    """

    def __init__(
        self,
        claimed: Claimed,
        folder: Path,
        launcher: Launcher,
        reporter: Reporter,
        inquiries: Inquiries,
        timeouts: Timeouts,
        *,
        facts: FactQueue,
        lifecycle: Lifecycle,
    ) -> None:
        self.warnings: list[str] = []
        self._claimed = claimed
        self._folder = folder
        self._launcher = launcher
        self._reporter = reporter
        self._inquiries = inquiries
        self._timeouts = timeouts
        self._facts = facts
        self._lifecycle = lifecycle
        self._processes: dict[int, int] = {}
        """Rank to pid of the running ranks."""
        self._watch = LauncherWatch(_lives)
        self._exit = ExitWatch(timeouts.exit_limit_seconds)
        self._stacks: asyncio.Task[dict[int, str]] | None = None
        self._notice_until: float | None = None
        self._stall: StallWatch | None = StallWatch(
            limit_seconds=claimed.spec.stall_seconds,
            minimum_seconds=timeouts.stall_minimum_seconds,
            startup_seconds=timeouts.startup_limit_seconds if claimed.spec.trainer is not None else None,
            finish_seconds=timeouts.finish_limit_seconds,
            now=time.monotonic(),
        )
        limit_seconds = claimed.spec.stall_seconds
        self._idle: IdleWatch | None = None
        if claimed.spec.trainer is None and limit_seconds != 0:
            least_seconds = 2 * timeouts.resource_sample_seconds  # long enough to contain a sample
            limit_seconds = max(least_seconds, limit_seconds or timeouts.startup_limit_seconds)
            self._idle = IdleWatch(limit_seconds, time.monotonic())

    async def stop(self, grace_seconds: float) -> None:
        """End the ranks. They have the grace time to save."""
        self._watch.stops(grace_seconds, time.monotonic())
        await self._launcher.stop(grace_seconds)

    def all_finished(self) -> None:
        """Every rank of the attempt has finished: only the processes still have to end."""
        self._exit.finished(time.monotonic())

    async def inquire(self, inquiry: Inquiry) -> None:
        """Answer a user's inquiry."""
        await self._inquiries.begin(inquiry, self._launcher, dict(self._processes))

    async def run(self, sender: CheckpointSender, watch: CheckpointWatch | None) -> None:
        """Run until all processes have ended. Saved parts go to the sender."""
        messages = asyncio.create_task(self._launcher.message())
        patience_seconds = 0.0
        try:
            while True:
                await asyncio.wait({messages}, timeout=_LOOK_SECONDS)
                if messages.done():
                    message = messages.result()
                    if message is None or isinstance(message, AllGone):
                        patience_seconds = _END_SECONDS
                        if message is not None and message.never_met:
                            self._facts.put(NeverMet())
                        break
                    messages = asyncio.create_task(self._launcher.message())
                    await self._hear(message)
                    self._watch.heard()
                    if isinstance(message, RankExited) and message.rank not in self._reporter.ended_well:
                        watch = None  # a file that it was writing may be incomplete
                elif why := self._watch.stuck(self._processes.values(), time.monotonic()):
                    _log.error("The launcher of job %s is stuck: %s.", self._claimed.job, why)
                    break
                await self._look(sender, watch)
            if self._reporter.ended_well >= {*self._claimed.ranks}:
                await self._look_for_files(watch, sender, final=True)
        finally:
            messages.cancel()
            await asyncio.gather(messages, return_exceptions=True)
            await self._launcher.end(patience_seconds)

    async def _look(self, sender: CheckpointSender, watch: CheckpointWatch | None) -> None:
        await self._look_for_files(watch, sender)
        await self._look_for_stall()
        await self._look_for_idle_ranks()
        await self._look_for_exit()
        await self._reporter.report_new(self._processes)
        for part in self._reporter.take_saved():
            sender.add(part)

    async def _hear(self, message: FromLauncher) -> None:
        """Handle a message of the launcher: ranks have started, one has ended, or an inquiry's command has ended."""
        match message:
            case RanksStarted():
                self._note_started(message)
            case RankExited():
                self._processes.pop(message.rank, None)
                if message.signalled and not message.stopped:
                    message = message._replace(stopped=await self._ended_with_the_worker())
                await self._reporter.report_end(message, self._processes)
            case CommandEnded():
                await self._inquiries.ended(message)

    def _note_started(self, started: RanksStarted) -> None:
        pids = dict(zip(self._claimed.ranks, started.pids, strict=True))
        self._processes.update(pids)
        self._reporter.files.name_processes({pid: rank for rank, pid in pids.items()})
        self._facts.put(*(RankStarted(rank=rank, pid=pid) for rank, pid in pids.items()))
        self._facts.put(StageReached(stage="launched", at=time.time()))
        try:
            remember_processes(self._folder, [started.launcher, *pids.values()])
        except OSError as error:  # for example, a rank deleted the folder; only the worker's next start needs the note
            _log.warning("The process ids of job %s could not be written: %s", self._claimed.job, error)

    async def _ended_with_the_worker(self) -> bool:
        """Whether a signal that ended a rank was sent to the worker as well, perhaps a moment later."""
        if self._notice_until is None:
            self._notice_until = time.monotonic() + _NOTICE_SECONDS
        await self._lifecycle.wait_for_stop(max(0.0, self._notice_until - time.monotonic()))
        return self._lifecycle.worker_stops

    async def _look_for_files(
        self, watch: CheckpointWatch | None, sender: CheckpointSender, *, final: bool = False
    ) -> None:
        """Check whether a program has written checkpoint files."""
        if watch is None:
            return
        step, ranks = self._reporter.logged_step, [*self._processes.values()]
        found = await watch.look(step, ranks, now=time.monotonic(), final=final)
        if isinstance(found, SavedPart):
            sender.add(found)
            if watch.left_out:
                names = tuple(legal_name(name)[:1000] for name in watch.left_out[:MAXIMUM_NAMED])
                self._facts.put(LinksLeftOut(step=found.step, names=names, count=len(watch.left_out)))
        elif found is not None:
            self._facts.put(found)

    async def _look_for_stall(self) -> None:
        """Report training that has stalled. Then the server ends the attempt."""
        if self._stall is None:
            return
        step, now = self._reporter.logged_step, time.monotonic()
        if self._reporter.trained:
            self._stall.finishes(now)
        silent = self._stall.silent_seconds(step, now)
        if silent is None or self._lifecycle.stop is not None:
            return
        self._stall = None
        stacks = await self.keep_stacks()
        _log.warning("Attempt %d of job %s has stalled for %.0f s.", self._claimed.attempt, self._claimed.job, silent)
        absent = absent_ranks(stacks)
        self._facts.put(Stalled(step=step or 0, silent_seconds=silent, absent_ranks=absent))

    async def _look_for_idle_ranks(self) -> None:
        """Report idle ranks that log no steps. With `stall_seconds` this ends the attempt.

        It ends only if all its ranks are here: ranks on other workers may compute what these wait for.
        """
        if self._idle is None or self._lifecycle.stop is not None or self._reporter.logged_step is not None:
            return
        cores, ranks = self._reporter.cores, len(self._processes)
        idle = self._idle.idle_seconds(self._reporter.read_bytes, cores, ranks, time.monotonic())
        if idle is None:
            return
        self._idle = None
        if self._claimed.spec.stall_seconds and self._claimed.group_count == 1:
            stacks = await self.keep_stacks()
            self._facts.put(Stalled(step=0, silent_seconds=idle, absent_ranks=absent_ranks(stacks)))
        else:
            self._facts.put(RanksIdle(idle_seconds=idle))

    async def _look_for_exit(self) -> None:
        """End processes that do not end by themselves after all ranks have finished."""
        if not self._processes or not self._exit.overdue(time.monotonic()):
            return
        ranks = sorted(self._processes)
        several = f"ranks {', '.join(map(str, ranks[:10]))}" if len(ranks) > 1 else f"rank {ranks[0]}"
        self.warnings.append(
            f"The process of {several} did not end within {self._timeouts.exit_limit_seconds:g} s after all ranks had "
            "finished, so it was killed (HEADWAY_EXIT_LIMIT_SECONDS). Check its exit handlers and threads."
        )
        self._watch.stops(0, time.monotonic())
        await self._launcher.stop(0)

    async def keep_stacks(self) -> dict[int, str]:
        """Write the ranks' stacks into the attempt's outputs, once. Later calls return the same stacks."""
        if self._stacks is None:
            if not self._processes:
                return {}
            self._stacks = asyncio.create_task(self._keep_stacks(dict(self._processes)))
        return await asyncio.shield(self._stacks)

    async def _keep_stacks(self, processes: dict[int, int]) -> dict[int, str]:
        stacks = await asyncio.to_thread(read_stacks, self._folder, processes)
        path = output_folder(self._folder) / "stacks" / f"attempt-{self._claimed.attempt}.txt"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_new(path, joined(stacks))
        except OSError as error:
            _log.warning("The stacks of job %s were not kept: %s", self._claimed.job, error)
        return stacks


def _lives(pid: int) -> bool:
    try:
        return is_alive(psutil.Process(pid))
    except psutil.Error:
        return False
