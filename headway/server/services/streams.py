"""Reads a job's events, logs and metrics from a cursor on, once or until the job has ended."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AliasChoices, Field

from headway.core.attempt import LARGEST_NUMBER, Attempt
from headway.core.frozen import Frozen
from headway.core.job import Job
from headway.core.json_value import shown
from headway.core.metric import SYSTEM
from headway.core.progress import kept_until
from headway.core.protocol import AssignmentKey
from headway.database.base import Database
from headway.errors import Corrupt, InvalidInput, Unavailable
from headway.formats.metrics import Series
from headway.formats.reports import LogLine, Report, log_entries, metric_entries
from headway.server.access import Caller
from headway.server.recorder import Recorder
from headway.server.services.jobs import Jobs
from headway.server.watchers import Watchers

StreamKind = Literal["events", "logs", "metrics"]
_PAGE_EVENTS = 500
_PAGE_REPORTS = 10
"""How many reports are read at once; one may have several megabytes."""
_KEEP_ALIVE_SECONDS = 15.0
_UNAVAILABLE_SECONDS = 1.0
_THREADS = 2
_Result = TypeVar("_Result")
_Number = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]


class _CursorFields(Frozen):
    event: _Number
    settled: _Number = Field(validation_alias=AliasChoices("settled", "drained"))
    reports: dict[_Number, dict[str, _Number]]


@dataclass
class Cursor:
    """The position of a follower: an event number, and a report number per worker of each attempt that may get more.

    Attempts up to `settled` are completely read.
    """

    event: int = 0
    settled: int = 0
    reports: dict[str, dict[str, int]] = field(default_factory=dict)

    def encode(self) -> str:
        """The cursor as an opaque word."""
        return base64.urlsafe_b64encode(json.dumps(asdict(self), separators=(",", ":")).encode()).decode()

    @classmethod
    def decode(cls, word: str | None) -> Cursor:
        """The cursor of `encode`, or the beginning. Raises InvalidInput."""
        if not word:
            return cls()
        try:
            fields = _CursorFields.model_validate_json(base64.urlsafe_b64decode(word))
        except ValueError as error:
            raise InvalidInput(
                f"Cursor {shown(word)} is not valid here. Leave it out to read from the start."
            ) from error
        return cls(fields.event, fields.settled, {str(number): at for number, at in fields.reports.items()})


@dataclass(frozen=True)
class Item:
    """One item: its kind, its content for JSON, and the cursor after it."""

    kind: str
    data: Any
    cursor: str


class Streams:
    """Serves reports up to the first gap of each worker, so that none is skipped or sent twice."""

    def __init__(self, database: Database, jobs: Jobs, recorder: Recorder, watchers: Watchers) -> None:
        self._database = database
        self._jobs = jobs
        self._recorder = recorder
        self._watchers = watchers
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
        return self._read(await self._jobs.get(caller, project, reference), cursor, kinds)

    async def follow(
        self, caller: Caller, project: str, reference: str, cursor: Cursor, kinds: Collection[StreamKind]
    ) -> AsyncIterator[Item | None]:
        """The job's items, and new ones as they come, until the job has ended and all are sent, or the server stops.

        None: there was nothing new for a while. Raises NotFound, NotAllowed, Damaged, Overloaded.
        """
        job = await self._jobs.get(caller, project, reference)
        self._watchers.check_room()
        return self._follow(job.id, cursor, kinds)

    async def _read(self, job: Job, cursor: Cursor, kinds: Collection[StreamKind]) -> AsyncIterator[Item]:
        if "logs" in kinds or "metrics" in kinds:
            attempts = await self._jobs.attempts(job, after=cursor.settled)
            kept = kept_until(attempts)
            for attempt in attempts:
                async for item in self._read_attempt(job, attempt, cursor, kinds, kept[attempt.number]):
                    yield item
        if "events" in kinds:
            while cursor.event < job.event_count:
                events = await self._database.events(job.id, cursor.event, _PAGE_EVENTS)
                if not events:
                    break  # they are not stored yet; followers are woken then
                for event in events:
                    cursor.event = event.number
                    yield Item("event", event.model_dump(mode="json"), cursor.encode())

    async def _read_attempt(
        self, job: Job, attempt: Attempt, cursor: Cursor, kinds: Collection[StreamKind], kept_until: float
    ) -> AsyncIterator[Item]:
        number = attempt.number
        ended = attempt.ended_at is not None and number not in job.settling
        positions = cursor.reports.setdefault(str(number), {})
        for assignment in attempt.assignments:
            key = AssignmentKey(job=job.id, attempt=number, worker=assignment.worker)
            # Ask first: an open stream ends at its first gap, and asking loads a stream that is not in memory.
            open_through = self._recorder.stored(key)
            if open_through is None and not ended:
                await self._recorder.committed(key)
                open_through = self._recorder.stored(key)
            through = LARGEST_NUMBER if open_through is None else open_through
            position = positions.get(assignment.worker, 0)
            while position < through:
                reports = await self._database.streams.reports(
                    job.id, number, assignment.worker, position, through, _PAGE_REPORTS
                )
                for report in reports:
                    contents = _contents(report, position, kinds, kept_until)
                    while (found := await self.in_thread(next, contents, None)) is not None:
                        positions[assignment.worker], content = found
                        data = {"attempt": number, "worker": assignment.worker, **content}
                        yield Item("report", data, cursor.encode())
                    position = positions[assignment.worker] = report.through
                if len(reports) < _PAGE_REPORTS:
                    break
        if ended and cursor.settled == number - 1:
            cursor.settled = number
            cursor.reports.pop(str(number), None)

    async def _follow(self, job_id: str, cursor: Cursor, kinds: Collection[StreamKind]) -> AsyncIterator[Item | None]:
        with self._watchers.following(job_id) as changed:
            while not self._watchers.closed:
                changed.clear()
                try:
                    job = await self._jobs.by_id(job_id)
                    async for item in self._read(job, cursor, kinds):
                        yield item
                except Unavailable:
                    await asyncio.sleep(_UNAVAILABLE_SECONDS)
                    continue
                if job.status.terminal and not job.events:
                    yield Item("end", {"status": job.status.value, "sentence": job.sentence}, cursor.encode())
                    return
                try:
                    async with asyncio.timeout(_KEEP_ALIVE_SECONDS):
                        await changed.wait()
                except TimeoutError:
                    yield None


def _contents(
    report: Report, position: int, kinds: Collection[StreamKind], kept_until: float
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The items of a report after a position, each group with the position after it. A chunk gives one report at a
    time.

    Lines printed after `kept_until` are marked as repeated: a later attempt did their steps again.
    """
    found = merge(
        _readable(report, log_entries(report, position) if "logs" in kinds else ()),
        _readable(report, metric_entries(report, position) if "metrics" in kinds else ()),
        key=itemgetter(0),
    )
    for number, entries in groupby(found, key=itemgetter(0)):
        contents = [one for _, entry in entries for one in entry]
        lines = [one for one in contents if isinstance(one, LogLine)]
        series = [one for one in contents if isinstance(one, Series) and not one.name.startswith(SYSTEM)]
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
    """The entries. From the first that cannot be read, one line that says so."""
    try:
        yield from entries
    except Corrupt as error:
        yield report.through, [LogLine(-1, 0.0, f"headway: report {report.number} cannot be shown. {error}")]
