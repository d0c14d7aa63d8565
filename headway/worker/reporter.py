"""Reports for one assignment: everything that its ranks print, log and record, and how they ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Set
from typing import NamedTuple

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
from headway.rank_protocol.launcher_messages import RankExited
from headway.rank_protocol.record_bounds import clean_text
from headway.rank_protocol.run_records import RankError
from headway.worker.checkpoints import SavedPart
from headway.worker.fact_queue import FactQueue
from headway.worker.harvest import Harvest
from headway.worker.load import read_load
from headway.worker.memory_curve import MemoryCurves
from headway.worker.outbox import Outbox
from headway.worker.rank_files import RankFiles
from headway.worker.rank_output import show
from headway.worker.read_watch import LeftFilesWatch, ReadWatch
from headway.worker.resource_samples import ResourceSamples
from headway.worker.spool import SpooledReport, SpooledStream

_log = logging.getLogger(__name__)
_REPORT_SECONDS = 1.25
_WATCHED_REPORT_SECONDS = 0.2
"""The same while a user follows the job."""
_DISK_FULL_SECONDS = 1.0
_TAIL_LINES = 50
Errors = Mapping[int, RankError]
"""The failures that ranks recorded, by rank."""


class _Content(NamedTuple):
    """The input of one report beside the ranks' files. `exited`: a rank that has ended."""

    facts: tuple[Fact, ...]
    processes: dict[int, int]
    exited: RankExited | None
    last: bool


class _Written(NamedTuple):
    """A written report, and what it shows about the ranks."""

    report: SpooledReport | None
    """None if there was nothing to report."""
    harvest: Harvest
    finished: frozenset[int]
    interrupted: frozenset[int]
    errors: Errors
    logged_step: int | None


class Reporter:
    """Spools reports: facts at once, streams about once a second, or while a user follows the job, several times.

    Threads read and write, one at a time. The event loop's thread passes their input and takes over their results, so
    others can read these attributes at any time. `finished`: ranks that recorded it. `interrupted`: ranks that left
    because they were asked to. `ended_well`: ranks that ended and were not cut off. `trained`: training is done;
    evaluation and saving follow. `logged_step`: the largest step in what rank 0 logged last.
    """

    def __init__(
        self,
        stream: SpooledStream,
        files: RankFiles,
        outbox: Outbox,
        facts: FactQueue,
        *,
        samples: ResourceSamples,
        memory_bytes: int | None,
    ) -> None:
        """`memory_bytes`: the memory limit of each rank."""
        self.files = files
        self.finished: frozenset[int] = frozenset()
        self.interrupted: frozenset[int] = frozenset()
        self.ended_well: set[int] = set()
        self.trained = False
        self.watched = False
        self.logged_step: int | None = None
        self._stream = stream
        self._outbox = outbox
        self._facts = facts
        self._samples = samples
        self._memory_bytes = memory_bytes
        self._memory = MemoryCurves()
        self._errors: Errors = {}
        self._saved: list[SavedPart] = []
        self._reported_at = 0.0
        self._restored: tuple[ReadWatch, int] | None = None
        self._read: list[Fact] = []
        self._left: LeftFilesWatch | None = None

    def watch_restored(self, watch: ReadWatch, step: int) -> None:
        """Report that the checkpoint of `step` was loaded once ranks have read one of its files.

        If the system cannot detect reads, report that the files are there.
        """
        if watch.certain:
            self._restored = watch, step
        else:
            self._facts.put(CheckpointRestored(step=step, certain=False))

    def watch_left(self, watch: LeftFilesWatch) -> None:
        """Report when ranks read files that an earlier attempt left in the working directory."""
        self._left = watch

    def _note_reading(self) -> None:
        if self._left is not None and (modified_at := self._left.newest_read()) is not None:
            self._read.append(LeftFilesRead(modified_at=modified_at))
        if self._restored is not None and self._restored[0].look():
            self._read.append(CheckpointRestored(step=self._restored[1]))
            self._restored = None

    @property
    def read_bytes(self) -> int:
        """How many bytes of output and records were read. It grows as long as the ranks print and record."""
        return sum(map(sum, self._stream.offsets.values()))

    @property
    def cores(self) -> float | None:
        """The cores that the ranks used at the last sample; None if unknown."""
        return self._samples.cores

    def take_saved(self) -> list[SavedPart]:
        """The checkpoint parts that the ranks have saved since the last call."""
        saved, self._saved = self._saved, []
        return saved

    async def report_new(self, processes: Mapping[int, int]) -> None:
        """Report facts at once, and streams when they are due. `processes`: rank to pid of the running ranks."""
        self._memory.look(processes)
        every_seconds = _WATCHED_REPORT_SECONDS if self.watched else _REPORT_SECONDS
        due = time.monotonic() - self._reported_at >= every_seconds
        sampled = due and self._samples.due() and bool(processes)
        self._note_reading()
        if (
            self._facts
            or self._read
            or sampled
            or (due and await asyncio.to_thread(self.files.grown, self._stream.offsets))
        ):
            await self._report(processes)

    async def report_end(self, exited: RankExited, processes: Mapping[int, int]) -> None:
        """Report that a rank has ended, after all its output. `processes`: the other ranks."""
        await self._report(processes, exited=exited)

    async def report_last(self) -> None:
        """Write the last report: the rest of the files, and that the slots are free."""
        try:
            await self._report({}, last=True)
        except Exception as error:
            _log.exception(
                "The rest of the output of job %s cannot be reported. Please report this defect.", self._stream.key.job
            )
            await self._report_failure(error)

    async def _report_failure(self, error: Exception) -> None:
        """Write the last report without the ranks' files: with the facts, or, if that fails, with the failure alone."""
        failed = WorkerFailed(error=clean_text(f"{type(error).__name__}: {error}")[:1_000])
        others = [fact for fact in self._facts.waiting() if not isinstance(fact, WorkerFailed)]
        for facts in ((*others, failed, Released()), (failed, Released())):
            while True:
                try:
                    offsets = self._stream.offsets
                    self._stream.add(await asyncio.to_thread(self._stream.write, facts, [], [], offsets, last=True))
                    self._outbox.wake()
                    return
                except OSError as full:
                    await self._wait_for_disk(full)
                except Exception:
                    break

    async def _report(
        self, processes: Mapping[int, int], *, exited: RankExited | None = None, last: bool = False
    ) -> None:
        """Spool new content. A full disk delays this: nothing is dropped, and the ranks continue."""
        self._reported_at = time.monotonic()
        more = True
        while more:
            content = _Content(self._facts.waiting(), dict(processes), exited, last)
            try:
                written = await asyncio.to_thread(self._write, content)
            except OSError as error:
                await self._wait_for_disk(error)
                continue
            self._take_over(content, written)
            self._outbox.wake()
            more = written.harvest.more

    async def _wait_for_disk(self, error: OSError) -> None:
        _log.error("Reports of job %s wait for the disk: %s", self._stream.key.job, error)
        await asyncio.sleep(_DISK_FULL_SECONDS)

    def _take_over(self, content: _Content, written: _Written) -> None:
        """Note the content of a report that is on the disk, so that it is not reported again."""
        harvest = written.harvest
        if written.report is None:
            self._stream.skip(harvest.offsets)
        else:
            self._stream.add(written.report)
            self._outbox.counters.stripped_reports += written.report.stripped
        self._outbox.counters.add_dropped(harvest)
        self.finished, self.interrupted, self._errors = written.finished, written.interrupted, written.errors
        self.trained |= any(isinstance(fact, StageReached) and fact.stage == "trained" for fact in harvest.facts)
        self.logged_step = written.logged_step
        self._saved += harvest.saved
        show(harvest.lines)
        if harvest.more:
            return
        self._facts.reported(len(content.facts))
        self._read.clear()
        exited = content.exited
        if exited is not None and (exited.exit_code == 0 or exited.rank in written.finished):
            self.ended_well.add(exited.rank)

    # The methods below run in a thread

    def _write(self, content: _Content) -> _Written:
        """Write one report of the new content. Raises OSError; then nothing of the report is kept."""
        harvest = self.files.harvest(self._stream.offsets, final=content.last)
        self._note_reading()  # must be reported before anything that was logged later
        if self._samples.due():
            for sample in self._samples.take(content.processes):
                harvest.add_point(sample.name, sample.rank, self.files.logged_step or 0, sample.at, sample.value)
        finished = self.finished | {fact.rank for fact in harvest.facts if isinstance(fact, RankFinished)}
        interrupted = self.interrupted | harvest.interrupted
        errors = {**self._errors, **harvest.errors}
        facts = [*harvest.facts]
        if not harvest.more:  # the facts of an end follow all output of the rank
            facts = [*content.facts, *self._read, *facts]
            if content.exited is not None:
                left = _left(content.exited, finished | interrupted)
                interrupted |= {content.exited.rank} if left else frozenset()
                facts += self._end_facts(content.exited, finished, interrupted, errors, left=left)
            if content.last:
                facts.append(Released())
        last = content.last and not harvest.more
        report = None
        if facts or not harvest.empty or last:
            series = list(harvest.series.values())
            report = self._stream.write(tuple(facts), harvest.lines, series, harvest.offsets, last=last)
        return _Written(report, harvest, finished, interrupted, errors, self.files.logged_step)

    def _end_facts(
        self, exited: RankExited, finished: Set[int], interrupted: Set[int], errors: Errors, *, left: bool
    ) -> list[Fact]:
        rank = exited.rank
        clean = exited.exit_code == 0 and rank not in interrupted
        raised = errors.get(rank)
        error, hint = raised.error if raised else None, None
        if exited.out_of_memory:
            error = f"each rank may use {self._memory_bytes:,} bytes (--memory)"
        elif exited.machine_out_of_memory and exited.signal == "SIGKILL":
            hint = "the machine ran out of memory, and the kernel killed a process at that time"
        failed = not clean and rank not in finished
        end = RankEnded(
            rank=rank,
            at=exited.at,
            exit_code=exited.exit_code,
            signal=exited.signal,
            finished=clean or rank in finished,
            stopped=exited.stopped or rank in interrupted,
            left=left,
            secondary=raised is not None and raised.secondary,
            out_of_memory=exited.out_of_memory or (raised is not None and raised.out_of_memory),
            environment=raised is not None and raised.environment,
            error=error,
            hint=hint,
            memory_curve=self._memory.of(rank, exited.at, exited.peak_memory_bytes) if failed else (),
            worker_load=read_load() if failed else None,
            traceback=raised.traceback if raised else None,
            step=self.files.logged_step,
            log_tail=self.files.tail(rank, _TAIL_LINES) if failed and not exited.stopped else (),
        )
        return [RankFinished(rank=rank), end] if clean and rank not in finished else [end]


def _left(exited: RankExited, known: Set[int]) -> bool:
    """Whether a rank that was asked to end exited with 0, and it is not `known` whether its script was done.

    A script may exit by os._exit(0), and a command records nothing: then only the exit code is known.
    """
    asked = exited.stopped or exited.signalled
    return exited.exit_code == 0 and asked and exited.rank not in known
