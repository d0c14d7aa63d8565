"""Reads a job's log lines backwards from the end: by rank, attempt, time and text."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from headway.core.attempt import LARGEST_NUMBER, Attempt
from headway.core.frozen import Frozen
from headway.core.job import Job
from headway.core.json_value import shown
from headway.database.base import Database
from headway.errors import Corrupt, InvalidInput
from headway.formats.reports import LogLine, Report, log_entries
from headway.server.access import Caller
from headway.server.services.jobs import Jobs
from headway.server.services.streams import Streams

_SCANNED_BYTES = 16 << 20
"""Of compressed lines that one page reads. A page of a rare text may be empty; its cursor continues the search."""
_PAGE_REPORTS = 10
_Number = Annotated[int, Field(ge=0, le=LARGEST_NUMBER)]


class LogSearch(NamedTuple):
    """Which lines to read. Times are seconds since the epoch, as the worker read the lines. None: all."""

    rank: int | None = None
    attempt: int | None = None
    since: float | None = None
    until: float | None = None
    text: str = ""

    def finds(self, line: LogLine) -> bool:
        """Whether a line is one of those."""
        return (
            self.rank in (None, line.rank)
            and (self.since is None or line.at >= self.since)
            and (self.until is None or line.at < self.until)
            and self.text in line.text
        )


class FoundLines(NamedTuple):
    """Lines in the order in which they were printed, and the cursor of those before; None: there are none."""

    lines: list[dict[str, Any]]
    cursor: str | None


class _Place(Frozen):
    """In which attempt a search is, and before which report of each of its workers; of others at the end."""

    attempt: _Number
    before: dict[str, _Number] = {}


class _Entry(NamedTuple):
    """The lines of one report of a worker, with how many bytes were read for them."""

    worker: str
    number: int
    lines: list[LogLine]
    size_bytes: int


class LogSearches:
    """Goes through attempts from the newest, and through the reports of all workers of one by time, backwards."""

    def __init__(self, database: Database, jobs: Jobs, streams: Streams) -> None:
        self._database = database
        self._jobs = jobs
        self._streams = streams

    async def page(
        self, caller: Caller, project: str, reference: str, search: LogSearch, cursor: str | None, maximum_lines: int
    ) -> FoundLines:
        """The last lines before the cursor, or of the job: whole reports until there are so many.

        Raises NotFound, NotAllowed, Damaged, InvalidInput.
        """
        place = _decoded(cursor)
        job = await self._jobs.get(caller, project, reference)
        attempts = [
            one
            for one in reversed(await self._jobs.attempts(job))
            if search.attempt in (None, one.number) and (place is None or one.number <= place.attempt)
        ]
        found: list[dict[str, Any]] = []
        scanned_bytes = 0
        for attempt in attempts:
            before = dict(place.before) if place is not None and place.attempt == attempt.number else {}
            async for entry in self._backwards(job, attempt, before, search):
                before[entry.worker] = entry.number
                scanned_bytes += entry.size_bytes
                of_entry = {"attempt": attempt.number, "worker": entry.worker}
                found[:0] = [{**of_entry, **_shown(line)} for line in entry.lines]
                if len(found) >= maximum_lines or scanned_bytes >= _SCANNED_BYTES:
                    return FoundLines(found, _encoded(_Place(attempt=attempt.number, before=before)))
        return FoundLines(found, None)

    async def _backwards(
        self, job: Job, attempt: Attempt, before: dict[str, int], search: LogSearch
    ) -> AsyncIterator[_Entry]:
        position = (await self._streams.position(job, {"logs"})).reports.get(str(attempt.number), {})
        workers = [one.worker for one in attempt.assignments]
        behind = {worker: min(position.get(worker, LARGEST_NUMBER) + 1, LARGEST_NUMBER) for worker in workers}
        behind |= before
        sources = [self._of_worker(job.id, attempt.number, worker, behind[worker], search) for worker in workers]
        waiting = [(entry, source) for source in sources if (entry := await anext(source, None)) is not None]
        while waiting:
            newest = max(waiting, key=lambda one: one[0].lines[-1].at if one[0].lines else float("inf"))
            waiting.remove(newest)
            yield newest[0]
            if (entry := await anext(newest[1], None)) is not None:
                waiting.append((entry, newest[1]))

    async def _of_worker(
        self, job_id: str, attempt: int, worker: str, before: int, search: LogSearch
    ) -> AsyncIterator[_Entry]:
        while before > 1:
            reports = await self._database.streams.reports_before(job_id, attempt, worker, before, _PAGE_REPORTS)
            for report in reports:
                size_bytes = len(report.logs)
                for number, lines in await self._streams.in_thread(_matching, report, before, search.finds):
                    yield _Entry(worker, number, lines, size_bytes)
                    size_bytes = 0
                before = report.number
            if len(reports) < _PAGE_REPORTS:
                return


def _matching(report: Report, before: int, finds: Callable[[LogLine], bool]) -> list[tuple[int, list[LogLine]]]:
    """The lines of each report in a report or chunk, the last first."""
    found: list[tuple[int, list[LogLine]]] = []
    try:
        for number, lines in log_entries(report):
            if number < before:
                found.append((number, [line for line in lines if finds(line)]))
    except Corrupt as error:
        found.append((report.number, [LogLine(-1, 0.0, f"headway: report {report.number} cannot be shown. {error}")]))
    return found[::-1] or [(report.number, [])]


def _shown(line: LogLine) -> dict[str, Any]:
    return {"rank": line.rank, "at": line.at, "text": line.text, "partial": line.partial}


def _encoded(place: _Place) -> str:
    return base64.urlsafe_b64encode(place.model_dump_json().encode()).decode()


def _decoded(cursor: str | None) -> _Place | None:
    if not cursor:
        return None
    try:
        return _Place.model_validate_json(base64.urlsafe_b64decode(cursor))
    except ValueError as error:
        raise InvalidInput(f"Cursor {shown(cursor)} is not of a search. Leave it out to start at the end.") from error
