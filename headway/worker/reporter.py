"""What one assignment reports: all that its ranks print, log and record, and what became of them."""

from __future__ import annotations

import asyncio
import logging
import time

from headway.core.facts import (
    CheckpointRestored,
    Fact,
    LeftFilesRead,
    RankEnded,
    RankFinished,
    Released,
    StageReached,
    WorkerFailed,
)
from headway.rank_protocol.messages import RankExited
from headway.rank_protocol.record_bounds import clean_text
from headway.rank_protocol.records import RankError
from headway.worker.checkpoints import SavedPart
from headway.worker.load import read_load
from headway.worker.memory_curve import MemoryCurves
from headway.worker.outbox import Outbox
from headway.worker.rank_files import RankFiles
from headway.worker.read_watch import LeftFilesWatch, ReadWatch
from headway.worker.resource_samples import ResourceSamples
from headway.worker.spool import SpooledStream

_log = logging.getLogger(__name__)
_REPORT_SECONDS = 1.25
_DISK_FULL_SECONDS = 1.0
_TAIL_LINES = 50


class Reporter:
    """Spools reports: facts at once, streams about once a second.

    `finished`: ranks that said so; `interrupted`: those that left because they were asked to; `ended_well`: those that
    are gone, and were not cut off; `trained`: training is through, and what comes is evaluation and saving.
    """

    def __init__(
        self,
        stream: SpooledStream,
        files: RankFiles,
        outbox: Outbox,
        *,
        facts: list[Fact],
        processes: dict[int, int],
        samples: ResourceSamples,
        memory_bytes: int | None,
    ) -> None:
        """`facts`: others append what is to be reported next; `processes`: rank to pid of what runs now."""
        self.files = files
        self.finished: set[int] = set()
        self.interrupted: set[int] = set()
        self.ended_well: set[int] = set()
        self.trained = False
        self._stream = stream
        self._outbox = outbox
        self._facts = facts
        self._processes = processes
        self._samples = samples
        self._memory_bytes = memory_bytes
        self._memory = MemoryCurves()
        self._errors: dict[int, RankError] = {}
        self._saved: list[SavedPart] = []
        self._reported_at = 0.0
        self._restored: tuple[ReadWatch, int] | None = None
        self._left: LeftFilesWatch | None = None

    def watch_restored(self, watch: ReadWatch, step: int) -> None:
        """Report that the checkpoint of `step` was loaded once ranks have read one of its files.

        Where the system cannot tell, report that the files are there.
        """
        if watch.certain:
            self._restored = watch, step
        else:
            self._facts.append(CheckpointRestored(step=step, certain=False))

    def watch_left(self, watch: LeftFilesWatch) -> None:
        """Report when ranks read what an earlier attempt left in the working directory."""
        self._left = watch

    def _note_reading(self) -> None:
        if self._left is not None and (modified_at := self._left.newest_read()) is not None:
            self._facts.append(LeftFilesRead(modified_at=modified_at))
        if self._restored is not None and self._restored[0].look():
            self._facts.append(CheckpointRestored(step=self._restored[1]))
            self._restored = None

    @property
    def read_bytes(self) -> int:
        """How much was read of all that the ranks print and record; it grows as long as they do."""
        return sum(map(sum, self._stream.offsets.values()))

    @property
    def cores(self) -> float | None:
        """What the ranks used at the last sample; None as long as nobody knows."""
        return self._samples.cores

    def take_saved(self) -> list[SavedPart]:
        """The parts of checkpoints that the ranks have saved since this was asked last."""
        saved, self._saved = self._saved, []
        return saved

    async def report_new(self) -> None:
        """Report if there are facts, and streams when it is time for that."""
        self._memory.look(self._processes)
        self._note_reading()
        due = time.monotonic() - self._reported_at >= _REPORT_SECONDS
        sampled = due and self._samples.due() and bool(self._processes)
        if self._facts or sampled or (due and await asyncio.to_thread(self.files.grown, self._stream.offsets)):
            await self._report()

    async def report_end(self, exited: RankExited) -> None:
        """The launcher says that a rank has ended: report that behind all that it wrote."""
        await self._report(exited)

    async def report_last(self) -> None:
        """The last report: what is left in the files, and that the slots are free."""
        self._facts.append(Released())
        try:
            await self._report(last=True)
        except Exception as error:
            _log.exception("What ranks of job %s left cannot be reported; please report it.", self._stream.key.job)
            await self._report_failure(error)

    async def _report_failure(self, error: Exception) -> None:
        """The last report without what the ranks left: with the facts, or, if those fail, with the failure alone."""
        failed = WorkerFailed(error=clean_text(f"{type(error).__name__}: {error}")[:1_000])
        others = [fact for fact in self._facts if not isinstance(fact, Released | WorkerFailed)]
        for facts in ((*others, failed, Released()), (failed, Released())):
            while True:
                try:
                    await asyncio.to_thread(self._stream.append, facts, [], [], self._stream.offsets, last=True)
                    self._facts.clear()
                    self._outbox.wake()
                    return
                except OSError as full:
                    _log.error("Reports of job %s wait for the disk: %s", self._stream.key.job, full)
                    await asyncio.sleep(_DISK_FULL_SECONDS)
                except Exception:
                    break

    async def _report(self, exited: RankExited | None = None, *, last: bool = False) -> None:
        """Spool what is new. A full disk delays it: nothing is dropped, and the ranks go on."""
        self._reported_at = time.monotonic()
        while True:
            try:
                more = await asyncio.to_thread(self._spool, exited, last)
            except OSError as error:
                _log.error("Reports of job %s wait for the disk: %s", self._stream.key.job, error)
                await asyncio.sleep(_DISK_FULL_SECONDS)
                continue
            self._outbox.wake()
            if not more:
                return

    def _spool(self, exited: RankExited | None, last: bool) -> bool:
        """Write one report; true if the files have more. Nothing is kept of one that the disk did not take."""
        harvest = self.files.harvest(self._stream.offsets, final=last)
        self._note_reading()  # what was logged after it must not come before it
        pending = [*self._facts]  # this is a thread: more may come meanwhile, and stays for the next report
        if self._samples.due():
            for sample in self._samples.take(dict(self._processes)):
                harvest.add_point(sample.name, sample.rank, self.files.logged_step or 0, sample.at, sample.value)
        finished = self.finished | {fact.rank for fact in harvest.facts if isinstance(fact, RankFinished)}
        errors = {**self._errors, **harvest.errors}
        self.interrupted |= harvest.interrupted
        facts = [*harvest.facts]
        if not harvest.more:  # facts of an end follow all that its rank wrote
            ends = [] if exited is None else self._end_facts(exited, finished, errors)
            releases = [fact for fact in pending if isinstance(fact, Released)]
            facts = [*(fact for fact in pending if not isinstance(fact, Released)), *facts, *ends, *releases]
        if facts or not harvest.empty or last:
            series = list(harvest.series.values())
            self._stream.append(tuple(facts), harvest.lines, series, harvest.offsets, last=last and not harvest.more)
        else:
            self._stream.offsets = harvest.offsets  # what was passed over is not read again
        self.trained |= any(isinstance(fact, StageReached) and fact.stage == "trained" for fact in harvest.facts)
        self.finished, self._errors = finished, errors
        self._saved += harvest.saved
        if not harvest.more:
            del self._facts[: len(pending)]
            if exited is not None and (exited.exit_code == 0 or exited.rank in finished):
                self.ended_well.add(exited.rank)
        return harvest.more

    def _end_facts(self, exited: RankExited, finished: set[int], errors: dict[int, RankError]) -> list[Fact]:
        rank = exited.rank
        # A script may leave by os._exit(0), and a command says nothing: then the exit code alone tells its end.
        asked = exited.stopped or exited.signalled
        left = exited.exit_code == 0 and asked and rank not in finished | self.interrupted
        if left:
            self.interrupted.add(rank)
        clean = exited.exit_code == 0 and rank not in self.interrupted
        raised = errors.get(rank)
        error, hint = raised.error if raised else None, None
        if exited.out_of_memory:
            error = f"each rank may use {self._memory_bytes:,} bytes (--memory)"
        elif exited.machine_out_of_memory and exited.signal == "SIGKILL":
            hint = "the machine ran out of memory, and its kernel ended a process at that time"
        failed = not clean and rank not in finished
        end = RankEnded(
            rank=rank,
            at=exited.at,
            exit_code=exited.exit_code,
            signal=exited.signal,
            finished=clean or rank in finished,
            stopped=exited.stopped or rank in self.interrupted,
            left=left,
            secondary=raised is not None and raised.secondary,
            out_of_memory=exited.out_of_memory or (raised is not None and raised.out_of_memory),
            error=error,
            hint=hint,
            memory_curve=self._memory.of(rank, exited.at, exited.peak_memory_bytes) if failed else (),
            worker_load=read_load() if failed else None,
            traceback=raised.traceback if raised else None,
            step=self.files.logged_step,
            log_tail=self.files.tail(rank, _TAIL_LINES) if failed and not exited.stopped else (),
        )
        return [RankFinished(rank=rank), end] if clean and rank not in finished else [end]
