"""Reading a job's events, logs and metrics from a cursor on, once or for as long as the job lives."""

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
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import AliasChoices, Field

from headway.core.attempt import LARGEST_NUMBER, Attempt
from headway.core.frozen import Frozen
from headway.core.job import Job
from headway.core.json_value import as_json, shown
from headway.core.metric import SYSTEM
from headway.core.progress import LoggedSteps, kept_through, kept_until, repeated_steps
from headway.core.protocol import AssignmentKey
from headway.database.base import Database
from headway.errors import Corrupt, InvalidInput, Overloaded
from headway.formats.reports import LogLine, Report, Series, log_entries, metric_entries, readable_metrics
from headway.server.access import Caller
from headway.server.recorder import Recorder
from headway.server.services.jobs import Jobs
from headway.server.watchers import Watchers

StreamKind = Literal["events", "logs", "metrics"]
_PAGE_EVENTS = 500
_PAGE_REPORTS = 10
"""Read at once; one may have some megabytes."""
_KEEP_ALIVE_SECONDS = 15.0
_OVERLOADED_SECONDS = 1.0
_THREADS = 2
_Result = TypeVar("_Result")
_Number = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]


class _CursorFields(Frozen):
    event: _Number
    settled: _Number = Field(validation_alias=AliasChoices("settled", "drained"))
    reports: dict[_Number, dict[str, _Number]]


@dataclass
class Cursor:
    """Where a follower stands: an event number, and a report number per worker of each attempt that may get more.

    Attempts up to `settled` are read to their end.
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
                f"Cursor {shown(word)} is not one of this server. Leave it out to read from the start."
            ) from error
        return cls(fields.event, fields.settled, {str(number): at for number, at in fields.reports.items()})


@dataclass(frozen=True)
class Item:
    """One thing read: its kind, its content for JSON, and the cursor behind it."""

    kind: str
    data: Any
    cursor: str


class MetricsQuery(NamedTuple):
    """Which series to read: of one attempt or of all as one line, by name, from step to step, so many points each."""

    attempt: int | None
    names: Collection[str]
    first_step: int | None
    last_step: int | None
    maximum_points: int


class Streams:
    """Streams are served up to each worker's gap-free number, so that nothing is skipped or sent twice."""

    def __init__(self, database: Database, jobs: Jobs, recorder: Recorder, watchers: Watchers) -> None:
        self._database = database
        self._jobs = jobs
        self._recorder = recorder
        self._watchers = watchers
        self._threads = ThreadPoolExecutor(_THREADS, "streams")

    async def _unpacked(self, function: Callable[..., _Result], *arguments: Any) -> _Result:
        """Call a function in a thread that only readers wait for: what is stored meanwhile needs threads, too."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *arguments))

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def read(
        self, caller: Caller, project: str, reference: str, cursor: Cursor, kinds: Collection[StreamKind]
    ) -> AsyncIterator[Item]:
        """What is there of a job behind the cursor, which moves along. Raises NotFound, NotAllowed, Damaged."""
        return self._read(await self._jobs.get(caller, project, reference), cursor, kinds)

    async def follow(
        self, caller: Caller, project: str, reference: str, cursor: Cursor, kinds: Collection[StreamKind]
    ) -> AsyncIterator[Item | None]:
        """What is there of a job and what comes, until it has ended and all of it was sent, or the server stops.

        None: nothing new for long. Raises NotFound, NotAllowed, Damaged, Overloaded.
        """
        job = await self._jobs.get(caller, project, reference)
        self._watchers.check_room()
        return self._follow(job.id, cursor, kinds)

    async def attempts(self, caller: Caller, project: str, reference: str) -> list[tuple[Attempt, int | None]]:
        """The job's attempts, oldest first, each with how many logged steps it did once more."""
        job = await self._jobs.get(caller, project, reference)
        found = await self._jobs.attempts(job)
        return list(zip(found, await self._repeated_steps(job, found), strict=True))

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
                    break  # they are still to be stored; then followers are told
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
            # Asked for first: an open stream ends at its gap-free number, and loads it if this server never met it.
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
                    while (found := await self._unpacked(next, contents, None)) is not None:
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
                except Overloaded:
                    await asyncio.sleep(_OVERLOADED_SECONDS)
                    continue
                if job.status.terminal and not job.events:
                    yield Item("end", {"status": job.status.value, "sentence": job.sentence}, cursor.encode())
                    return
                try:
                    async with asyncio.timeout(_KEEP_ALIVE_SECONDS):
                        await changed.wait()
                except TimeoutError:
                    yield None

    async def metrics(self, caller: Caller, project: str, reference: str, query: MetricsQuery) -> dict[str, Any]:
        """The job's series, or those of one attempt, thinned to the extremes of each bucket of steps.

        The job's go on from attempt to attempt as training did: what an attempt logged behind the checkpoint from which
        a later one went on is left out, and counted.
        """
        job = await self._jobs.get(caller, project, reference)
        names, number = query.names, query.attempt
        if number is None:
            series, repeated_points = await self._joined(job)
        else:
            series, repeated_points = await self._series(job, number), 0
        chosen = [one for one in series if (one.name in names if names else not one.name.startswith(SYSTEM))]
        chosen.sort(key=lambda one: (one.name, one.rank))
        return {
            "job": job.id,
            "attempt": number,
            "repeated_points": repeated_points,
            "series": [await self._unpacked(thin_series, one, *query[2:]) for one in chosen],
        }

    async def _repeated_steps(self, job: Job, attempts: Sequence[Attempt]) -> list[int | None]:
        """Per attempt, how many logged steps it did once more; None where nothing had been logged before it."""
        if len(attempts) < 2:
            return [None] * len(attempts)
        return repeated_steps(attempts, [_logged_steps(await self._series(job, one.number)) for one in attempts])

    async def _series(self, job: Job, number: int) -> list[Series]:
        sections = await self._database.streams.metrics_sections(job.id, number)
        return await self._unpacked(readable_metrics, sections)

    async def _joined(self, job: Job) -> tuple[list[Series], int]:
        """The series of all attempts as one line each, and how many points were left out as repeated."""
        attempts = await self._jobs.attempts(job)
        found = [await self._series(job, one.number) for one in attempts]
        if len(found) == 1:
            return found[0], 0
        cuts = kept_through(attempts, [_logged_steps(series) for series in found])
        return await self._unpacked(_join, found, cuts)


def _logged_steps(series: Sequence[Series]) -> LoggedSteps | None:
    logged = [one.steps for one in series if one.steps and not one.name.startswith(SYSTEM)]
    return LoggedSteps(min(map(min, logged)), max(map(max, logged))) if logged else None


def _join(attempts: Sequence[Sequence[Series]], cuts: Sequence[float]) -> tuple[list[Series], int]:
    """Each attempt's points up to its cut, one behind the other."""
    import numpy as np

    joined: dict[tuple[str, int], Series] = {}
    left_out = 0
    for series, cut in zip(attempts, cuts, strict=True):
        for one in series:
            keep = np.frombuffer(one.steps, dtype=np.int64) <= cut
            left_out += int((~keep).sum())
            line = joined.setdefault((one.name, one.rank), Series(one.name, one.rank))
            line.steps.frombytes(np.frombuffer(one.steps, dtype=np.int64)[keep].tobytes())
            line.times.frombytes(np.frombuffer(one.times, dtype=np.float64)[keep].tobytes())
            line.values.frombytes(np.frombuffer(one.values, dtype=np.float64)[keep].tobytes())
    return [one for one in joined.values() if one.steps], left_out


def _contents(
    report: Report, position: int, kinds: Collection[StreamKind], kept_until: float
) -> Iterator[tuple[int, dict[str, Any]]]:
    """What a report has behind a position, with the position behind it: of a chunk, one report's at a time.

    Lines printed after `kept_until` are marked: a later attempt repeated what they tell of.
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
    """The entries; from where they cannot be read, one line that says so."""
    try:
        yield from entries
    except Corrupt as error:
        yield report.through, [LogLine(-1, 0.0, f"headway: report {report.number} cannot be shown. {error}")]


def thin_series(series: Series, first_step: int | None, last_step: int | None, maximum_points: int) -> dict[str, Any]:
    """One series for JSON. Above `maximum_points`, each bucket gives its least and its greatest; the ends stay."""
    import numpy as np

    steps = np.frombuffer(series.steps, dtype=np.int64)
    values = np.frombuffer(series.values, dtype=np.float64)
    times = np.frombuffer(series.times, dtype=np.float64)
    keep = np.ones(len(steps), dtype=bool)
    if first_step is not None:
        keep &= steps >= first_step
    if last_step is not None:
        keep &= steps <= last_step
    chosen = np.flatnonzero(keep)
    total = len(chosen)
    if total > maximum_points:
        picked = {int(chosen[0]), int(chosen[-1])}
        for bucket in np.array_split(chosen, max(1, (maximum_points - 2) // 2)):
            missing = np.isnan(values[bucket])
            least, greatest = (np.where(missing, other, values[bucket]) for other in (np.inf, -np.inf))
            picked.update((int(bucket[least.argmin()]), int(bucket[greatest.argmax()])))
        chosen = np.array(sorted(picked))
    return {
        "name": series.name,
        "rank": series.rank,
        "count": total,
        "thinned": total > len(chosen),
        "steps": steps[chosen].tolist(),
        "times": times[chosen].tolist(),
        "values": as_json(values[chosen].tolist()),
    }
