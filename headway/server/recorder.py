"""Stores whole reports, then applies their facts. A report is committed when it is stored and applied."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from headway.brokers.base import Broker
from headway.core import transitions
from headway.core.fact_transitions import ReportedFacts, apply_facts
from headway.core.facts import Fact, Released
from headway.core.job import Job
from headway.core.protocol import AssignmentKey
from headway.database.base import Database
from headway.errors import Corrupt, HeadwayError, NotFound
from headway.formats.reports import Report, decode_head, decode_report
from headway.server.clock import Clock
from headway.server.counters import ServerCounters
from headway.server.services.curves import Curves
from headway.server.services.jobs import Jobs
from headway.server.watchers import Watchers

_log = logging.getLogger(__name__)
_BATCH = 64
_RETRY_SECONDS = 0.5
_MAXIMUM_UNREADABLE = 100
"""How many unreadable reports of one stream its worker is told of at once."""


@dataclass
class _Stream:
    """The progress of the reports of one worker about one attempt.

    `stored`: the number up to which there is no gap. `ahead`: reports stored after a gap. `facts`: not applied yet.
    `unreadable`: reports that were put aside.
    """

    stored: int = 0
    committed: int = 0
    ahead: set[int] = field(default_factory=set)
    last: int | None = None
    facts: dict[int, tuple[Fact, ...]] = field(default_factory=dict)
    unreadable: set[int] = field(default_factory=set)

    def add(self, number: int, through: int, last: bool) -> None:
        self.ahead.update(range(number, through + 1))
        if last:
            self.last = through
        while self.stored + 1 in self.ahead:
            self.stored += 1
            self.ahead.discard(self.stored)
        self.ahead = {number for number in self.ahead if number > self.stored}
        self.unreadable = {number for number in self.unreadable if not self.has(number)}

    def has(self, number: int) -> bool:
        return number <= self.stored or number in self.ahead

    @property
    def applied(self) -> bool:
        return self.committed == self.stored

    @property
    def complete(self) -> bool:
        return self.last is not None and self.stored >= self.last

    @property
    def missing(self) -> int:
        """The numbers that must exist but never came."""
        return max(self.ahead) - self.stored - len(self.ahead) if self.ahead else 0


class Recorder:
    """Reads reports from the broker. A refused or repeated report changes nothing."""

    def __init__(
        self,
        *,
        database: Database,
        jobs: Jobs,
        broker: Broker,
        opened: Callable[[bytes], bytes],
        watchers: Watchers,
        curves: Curves,
        clock: Clock,
        counters: ServerCounters,
        catch_up_seconds: float,
    ) -> None:
        """`opened` takes a report out of its envelope, or raises Corrupt."""
        self._database = database
        self._jobs = jobs
        self._broker = broker
        self._opened = opened
        self._watchers = watchers
        self._curves = curves
        self._clock = clock
        self._counters = counters
        self._catch_up_seconds = catch_up_seconds
        self._streams: dict[AssignmentKey, _Stream] = {}
        self._recorded = 0
        self._progressed = asyncio.Event()

    async def open(self) -> None:
        """Apply the facts that an earlier server stored but did not apply. The broker is already open."""
        self._recorded = self._broker.taken
        for job in self._jobs.unsettled.active():
            attempt = job.attempt
            if attempt is not None:
                workers = [one.worker for one in attempt.assignments]
                keys = [AssignmentKey(job=job.id, attempt=attempt.number, worker=worker) for worker in workers]
                await self._apply([key for key in keys if await self._stream(key) is not None])

    async def run(self) -> None:
        """Record forever."""
        while True:
            bodies, position = await self._broker.reports(_BATCH)
            reports = [report for body in bodies if (report := await self._decoded(body)) is not None]
            while True:
                try:
                    await self.record(reports)
                    break
                except HeadwayError as error:
                    _log.error("Reports cannot be stored now; they wait: %s", error)
                    await asyncio.sleep(_RETRY_SECONDS)
            self._recorded = position
            self._progressed.set()

    async def _decoded(self, body: bytes) -> Report | None:
        try:
            opened = self._opened(body)
        except Corrupt as error:
            await self.put_aside(body, error)
            return None
        try:
            return decode_report(opened)
        except Corrupt as error:
            self._note_unreadable(opened)
            await self.put_aside(body, error)
            return None

    def _note_unreadable(self, opened: bytes) -> None:
        """Note the report for its worker, if worker and number are known: it would send it again forever."""
        try:
            head = decode_head(opened)
        except Corrupt:
            return
        stream = self._streams.get(AssignmentKey(job=head.job, attempt=head.attempt, worker=head.worker))
        if stream is not None and not stream.has(head.number) and len(stream.unreadable) < _MAXIMUM_UNREADABLE:
            stream.unreadable.add(head.number)

    async def put_aside(self, body: bytes, error: Corrupt) -> None:
        """Count a report that cannot be read and store it for people to inspect. The other reports continue."""
        self._counters.corrupt_reports += 1
        _log.warning("Report put aside (%d so far): %s", self._counters.corrupt_reports, error)
        await self._broker.dead_letter(body)

    async def record(self, reports: Iterable[Report]) -> None:
        """Store reports and apply their facts in the order of their numbers. Facts that came together are one write."""
        new: dict[tuple[AssignmentKey, int], Report] = {}
        named: dict[AssignmentKey, None] = {}
        for report in reports:
            key = AssignmentKey(job=report.job, attempt=report.attempt, worker=report.worker)
            stream = await self._stream(key)
            if stream is None:
                continue
            named[key] = None
            if not stream.has(report.number):
                new[key, report.number] = report
        if new:
            await self._database.streams.insert(list(new.values()))
        for (key, number), report in new.items():
            stream = self._streams.get(key)
            if stream is None:
                continue
            stream.add(number, report.through, report.last)
            if report.facts or report.last:
                stream.facts[number] = report.facts
        await self._curves.recorded(list(new.values()), self._stored_of(named))
        # Facts of earlier reports may wait, too: the database failed after it stored them.
        await self._apply([key for key in named if (stream := self._streams.get(key)) and not stream.applied])

    def _stored_of(self, keys: Iterable[AssignmentKey]) -> dict[AssignmentKey, int]:
        return {key: self._streams[key].stored for key in keys if key in self._streams}

    async def _apply(self, keys: list[AssignmentKey]) -> None:
        attempts: dict[tuple[str, int], list[ReportedFacts]] = {}
        through: dict[AssignmentKey, int] = {}
        for key in keys:
            stream = self._streams.get(key)
            if stream is None:
                continue
            through[key] = stream.stored
            facts = [
                ReportedFacts(key.worker, number, stream.facts[number], last=number == stream.last)
                for number in sorted(stream.facts)
                if number <= stream.stored
            ]
            attempts.setdefault((key.job, key.attempt), []).extend(facts)
        for (job_id, number), reported in attempts.items():
            if reported:
                await self._update(job_id, number, reported)
            self._watchers.changed(job_id)
        for key, stored in through.items():
            stream = self._streams.get(key)
            if stream is not None:
                stream.committed = stored
                stream.facts = {number: facts for number, facts in stream.facts.items() if number > stored}
                if stream.complete:
                    await self._settle_complete(key.job, key.attempt)

    async def _update(self, job_id: str, number: int, reported: list[ReportedFacts]) -> None:
        """Apply facts to their job. If a defect makes the facts of one report fail, only these are left out.

        Even then the report counts as received, and slots that it frees become free.
        """
        try:
            await self._jobs.update(job_id, self._applied(number, reported))
        except HeadwayError:
            raise
        except Exception:
            if len(reported) > 1:
                for one in reported:
                    await self._update(job_id, number, [one])
                return
            (failed,) = reported
            self._counters.corrupt_reports += 1
            _log.exception(
                "The facts of report %d of worker %s about attempt %d of job %s are left out (%d put aside so far).",
                failed.number, failed.worker, number, job_id, self._counters.corrupt_reports,
            )  # fmt: skip
            released = tuple(fact for fact in failed.facts if isinstance(fact, Released))
            if released != failed.facts:
                await self._update(job_id, number, [failed._replace(facts=released)])

    def _applied(self, number: int, reported: list[ReportedFacts]) -> Callable[[Job], Job]:
        now = self._clock.now()

        def apply(job: Job) -> Job:
            changed = apply_facts(job, number, reported, now)
            return job if changed is job else self._curves.kept_in(changed)

        return apply

    async def committed(self, key: AssignmentKey) -> int | None:
        """The number up to which the stream is committed; None: the stream is closed and accepts no more reports."""
        stream = await self._stream(key)
        return None if stream is None else stream.committed

    def unreadable(self, key: AssignmentKey) -> tuple[int, ...]:
        """The numbers of received reports of an open stream that could not be read."""
        stream = self._streams.get(key)
        return () if stream is None else tuple(sorted(stream.unreadable))

    def stored(self, key: AssignmentKey) -> int | None:
        """The number up to which an open stream may be read; None: it is closed, and everything stored may be read."""
        stream = self._streams.get(key)
        return None if stream is None else stream.stored

    async def catch_up(self) -> None:
        """Wait, for a bounded time, until everything that is in the broker now is recorded."""
        position = await self._broker.position()
        deadline = asyncio.get_running_loop().time() + self._catch_up_seconds
        while self._recorded < position:
            self._progressed.clear()
            try:
                async with asyncio.timeout(deadline - asyncio.get_running_loop().time()):
                    await self._progressed.wait()
            except TimeoutError:
                _log.warning("Stopped waiting for %d reports in the broker.", position - self._recorded)
                return

    async def settle_streams(self, job_id: str, number: int) -> None:
        """Stop waiting for the streams of an ended attempt: count the gaps and refuse later reports."""
        streams = [
            stream for key, stream in self._streams.items() if key.job == job_id and key.attempt == number
        ]  # fmt: skip
        missing = sum(stream.missing for stream in streams)
        now = self._clock.now()
        known = self._jobs.unsettled.find(job_id)
        settles = known is not None and number in known.settling

        def settle(job: Job) -> Job:
            settled = transitions.streams_settled(job, number, missing, now)
            return job if settled is job else self._curves.kept_in(settled)

        await self._jobs.update(job_id, settle)
        self._counters.missing_reports += missing if settles else 0

    async def _settle_complete(self, job_id: str, number: int) -> None:
        job = self._jobs.unsettled.find(job_id)
        if job is None or number not in job.settling:
            return
        attempt = await self._jobs.attempt(job, number)
        for assignment in attempt.assignments if attempt else ():
            if assignment.streams_missing:
                stream = self._streams.get(AssignmentKey(job=job_id, attempt=number, worker=assignment.worker))
                if stream is None or not stream.complete:
                    return
        await self.settle_streams(job_id, number)

    def job_changed(self, job: Job) -> None:
        """Close the streams of attempts whose reports are no longer accepted."""
        for key in [key for key in self._streams if key.job == job.id]:
            if not _accepts(job, key.attempt):
                del self._streams[key]

    async def _stream(self, key: AssignmentKey) -> _Stream | None:
        """The open stream, read from the database when this server first needs it; None if it is closed."""
        if key in self._streams:
            return self._streams[key]
        try:
            job = self._jobs.unsettled.find(key.job) or await self._database.job(key.job)
        except NotFound:
            return None
        attempt = await self._jobs.attempt(job, key.attempt) if _accepts(job, key.attempt) else None
        assignment = attempt.assignment_of(key.worker) if attempt else None
        if assignment is None:
            return None
        stream = _Stream()
        for row in await self._database.streams.index(key.job, key.attempt):
            if row.worker == key.worker:
                stream.add(row.number, row.through, row.last)
                if (row.has_facts or row.last) and row.through > assignment.applied:
                    for report in await self._database.streams.reports(
                        key.job, key.attempt, key.worker, row.number - 1, row.number, 1
                    ):
                        stream.facts[row.number] = report.facts
        if not stream.facts:
            stream.committed = stream.stored
        await self._curves.read_missing(job, key, stream.stored)
        # Another task may have read it meanwhile. Keep the first one, since it may have newer reports.
        return self._streams.setdefault(key, stream)


def _accepts(job: Job, number: int) -> bool:
    return job.open_attempt(number) is not None or number in job.settling
