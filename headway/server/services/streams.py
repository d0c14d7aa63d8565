"""Reads a job's events, logs and metrics from a cursor on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any, Literal, NamedTuple, TypeVar

from headway.core.attempt import LARGEST_NUMBER, Attempt
from headway.core.job import Job
from headway.core.metric import SYSTEM
from headway.core.progress import kept_until
from headway.core.protocol import AssignmentKey
from headway.database.base import Database
from headway.errors import Corrupt
from headway.formats.metrics import Series
from headway.formats.reports import LogLine, Report, log_entries, metric_entries
from headway.server.access import Caller
from headway.server.recorder import Recorder
from headway.server.services.cursor import Cursor
from headway.server.services.jobs import Jobs

StreamKind = Literal["events", "logs", "metrics", "samples"]
"""Samples are the metrics that workers measure: `system/...`."""
_ONLY_EVENTS = {"events"}
_PAGE_EVENTS = 500
_PAGE_REPORTS = 10
"""How many reports are read at once; one may have several megabytes."""
_THREADS = 2
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Item:
    """One thing read: its kind, its content for JSON, and the cursor behind it."""

    kind: str
    data: Any
    cursor: str


class Streams:
    """Serves reports up to the first gap of each worker, so that none is skipped or sent twice."""

    def __init__(self, database: Database, jobs: Jobs, recorder: Recorder) -> None:
        self._database = database
        self._jobs = jobs
        self._recorder = recorder
        self._threads = ThreadPoolExecutor(_THREADS, "streams")

    async def in_thread(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """Call a function in a thread for readers: storing reports uses other threads, so it need not wait."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *arguments))

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def read(
        self, caller: Caller, project: str, reference: str, cursor: Cursor, kinds: Collection[StreamKind]
    ) -> AsyncIterator[Item]:
        """The job's items after the cursor, which moves along. Raises NotFound, NotAllowed, Damaged."""
        return self.read_job(await self._jobs.get(caller, project, reference), cursor, kinds)

    async def read_job(
        self, job: Job, cursor: Cursor, kinds: Collection[StreamKind], limit: Cursor | None = None
    ) -> AsyncGenerator[Item]:
        """The job's items after the cursor, which moves along; with `limit`, up to that position.

        What an attempt's ranks wrote comes after the events up to its placement, and before the later ones.
        """
        last = job.event_count if limit is None else min(job.event_count, limit.event)
        if set(kinds) - _ONLY_EVENTS:
            attempts = await self._jobs.attempts(job, after=cursor.settled)
            kept = kept_until(attempts)
            for attempt in attempts:
                if "events" in kinds and str(attempt.number) not in cursor.reports:
                    async for item in self._read_events(job, cursor, last, placed=attempt.number):
                        yield item
                reading = _Reading(job, attempt, kinds, kept[attempt.number], limit)
                async for item in self._read_attempt(reading, cursor):
                    yield item
        if "events" in kinds:
            async for item in self._read_events(job, cursor, last):
                yield item

    async def _read_events(
        self, job: Job, cursor: Cursor, last: int, placed: int | None = None
    ) -> AsyncGenerator[Item]:
        """The events after the cursor up to the number `last`, or up to the placement of the attempt `placed`."""
        while cursor.event < last:
            events = await self._database.events(job.id, cursor.event, _PAGE_EVENTS)
            if not events:
                return  # they are not stored yet; followers are woken then
            for event in events[: last - cursor.event]:
                cursor.event = event.number
                is_placement = event.type == "attempt.placed" and event.data["attempt"] == placed
                if is_placement:
                    cursor.reports.setdefault(str(placed), {})  # the next to read, also for a later reader
                yield Item("event", event.model_dump(mode="json"), cursor.encode())
                if is_placement:
                    return

    async def position(self, job: Job, kinds: Collection[StreamKind]) -> Cursor:
        """A position near the end of the job's streams: all before it is stored, and perhaps a little after it."""
        cursor = Cursor(event=job.event_count - len(job.events) if "events" in kinds else 0)
        if set(kinds) - _ONLY_EVENTS:
            for attempt in await self._jobs.attempts(job):
                if _is_complete(job, attempt) and cursor.settled == attempt.number - 1:
                    cursor.settled = attempt.number
                    continue
                keys = [
                    (one.worker, AssignmentKey(job=job.id, attempt=attempt.number, worker=one.worker))
                    for one in attempt.assignments
                ]
                cursor.reports[str(attempt.number)] = {
                    worker: await self._readable_through(key) for worker, key in keys
                }
        return cursor

    async def _readable_through(self, key: AssignmentKey) -> int:
        """Up to which number a stream may be read; one that is closed to its end."""
        stored = await self._stored(key)
        return LARGEST_NUMBER if stored is None else stored

    async def _stored(self, key: AssignmentKey) -> int | None:
        """Up to which number an open stream may be read. Loads the stream if this server does not know it."""
        if self._recorder.stored(key) is None:
            await self._recorder.committed(key)
        return self._recorder.stored(key)

    async def _read_attempt(self, reading: _Reading, cursor: Cursor) -> AsyncGenerator[Item]:
        job, number = reading.job, reading.attempt.number
        complete = _is_complete(job, reading.attempt)
        positions = cursor.reports.setdefault(str(number), {})
        for assignment in reading.attempt.assignments:
            key = AssignmentKey(job=job.id, attempt=number, worker=assignment.worker)
            # Asked for first: an open stream ends at its gap-free number.
            open_through = self._recorder.stored(key) if complete else await self._stored(key)
            through = min(LARGEST_NUMBER if open_through is None else open_through, reading.limit_of(assignment.worker))
            position = positions.get(assignment.worker, 0)
            page_reports = 1  # it is mostly a chunk of which another part is read
            while position < through:
                reports = await self._database.streams.reports(
                    job.id, number, assignment.worker, position, through, page_reports
                )
                for report in reports:
                    contents = _contents(report, position, reading.kinds, reading.kept_until)
                    while (found := await self.in_thread(next, contents, None)) is not None and found[0] <= through:
                        positions[assignment.worker], content = found
                        data = {"attempt": number, "worker": assignment.worker, **content}
                        yield Item("report", data, cursor.encode())
                    position = positions[assignment.worker] = min(report.through, through)
                if len(reports) < page_reports:
                    break
                page_reports = _PAGE_REPORTS
        if complete and cursor.settled == number - 1:
            cursor.settled = number
            cursor.reports.pop(str(number), None)


class _Reading(NamedTuple):
    """What is read of an attempt, and up to which place; None: to its end."""

    job: Job
    attempt: Attempt
    kinds: Collection[StreamKind]
    kept_until: float
    limit: Cursor | None

    def limit_of(self, worker: str) -> int:
        """Up to which number a worker's reports are read."""
        if self.limit is None or self.attempt.number <= self.limit.settled:
            return LARGEST_NUMBER
        return self.limit.reports.get(str(self.attempt.number), {}).get(worker, 0)


def _is_complete(job: Job, attempt: Attempt) -> bool:
    """Whether nothing more of the attempt is accepted."""
    return attempt.ended_at is not None and attempt.number not in job.settling


def _contents(
    report: Report, position: int, kinds: Collection[StreamKind], kept_until: float
) -> Iterator[tuple[int, dict[str, Any]]]:
    """What a report has behind a position, with the position behind it: of a chunk, one report's at a time.

    Lines printed after `kept_until` are marked: a later attempt repeated what they tell of.
    """
    found = merge(
        _readable(report, log_entries(report, position) if "logs" in kinds else ()),
        _readable(report, metric_entries(report, position) if "metrics" in kinds or "samples" in kinds else ()),
        key=itemgetter(0),
    )
    for number, entries in groupby(found, key=itemgetter(0)):
        contents = [one for _, entry in entries for one in entry]
        lines = [one for one in contents if isinstance(one, LogLine)]
        series = [
            one
            for one in contents
            if isinstance(one, Series) and ("samples" if one.name.startswith(SYSTEM) else "metrics") in kinds
        ]
        if lines or series:
            packed = [
                {"name": one.name, "rank": one.rank, "steps": list(one.steps), "values": list(one.values)}
                for one in series
            ]
            yield number, {"lines": [_shown(line, kept_until) for line in lines], "series": packed}


def _shown(line: LogLine, kept_until: float) -> dict[str, Any]:
    shown = {"rank": line.rank, "at": line.at, "text": line.text, "partial": line.partial}
    return {**shown, "repeated": line.at > kept_until}


def _readable(
    report: Report, entries: Iterable[tuple[int, Sequence[LogLine | Series]]]
) -> Iterator[tuple[int, Sequence[LogLine | Series]]]:
    """The entries; from where they cannot be read, one line that says so."""
    try:
        yield from entries
    except Corrupt as error:
        yield report.through, [LogLine(-1, 0.0, f"headway: report {report.number} cannot be shown. {error}")]
