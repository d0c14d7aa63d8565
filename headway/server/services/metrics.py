"""Reads a job's metrics: the requested series over its attempts, thinned to fit into one answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, NamedTuple

from headway.core.attempt import Attempt
from headway.core.job import Job
from headway.core.progress import LoggedSteps, kept_through, repeated_steps
from headway.database.base import Database
from headway.errors import InvalidInput
from headway.formats.metrics import Selection, Series, logged_steps, select_metrics
from headway.server.access import Caller
from headway.server.services.cursor import Cursor
from headway.server.services.jobs import Jobs
from headway.server.services.streams import Streams
from headway.server.thinning import MAXIMUM_SERIES, points_per_series, thin_series


class MetricsQuery(NamedTuple):
    """The series to read: of one attempt or of all joined, by name, within a range of steps, with a limit of points
    each.
    """

    attempt: int | None
    names: Collection[str]
    first_step: int | None
    last_step: int | None
    maximum_points: int


class Metrics:
    """Series are selected before they are decoded, so that a small request is cheap even if a job has many series."""

    def __init__(self, database: Database, jobs: Jobs, streams: Streams) -> None:
        self._database = database
        self._jobs = jobs
        self._streams = streams
        self._in_thread: Callable[..., Coroutine[Any, Any, Any]] = streams.in_thread

    async def read(self, caller: Caller, project: str, reference: str, query: MetricsQuery) -> dict[str, Any]:
        """The series of the job or of one attempt, by name and rank, thinned to the extremes of each bucket of steps.

        The job's series continue from attempt to attempt, as training did. Points that an attempt logged after the
        checkpoint where a later one continued are left out and counted. Raises NotFound, NotAllowed, Damaged, and
        InvalidInput for more series than fit into one answer.
        """
        job = await self._jobs.get(caller, project, reference)
        selection = Selection(query.names, query.first_step, query.last_step)
        position = await self._streams.position(job, {"metrics"})
        if query.attempt is None:
            series, repeated_points = await self._of_all_attempts(job, selection, position)
        else:
            sections = await self._sections_of(job, query.attempt, position)
            series, repeated_points = await self._in_thread(select_metrics, sections, selection), 0
        if len(series) > MAXIMUM_SERIES:
            raise InvalidInput(
                f"Job {job.name} has {len(series):,} series; one answer holds at most {MAXIMUM_SERIES:,}. "
                "Name those that you want: ?name=train/loss"
            )
        series.sort(key=lambda one: (one.name, one.rank))
        points = points_per_series([len(one.steps) for one in series], query.maximum_points)
        return {
            "job": job.id,
            "attempt": query.attempt,
            "repeated_points": repeated_points,
            "points": points,
            "series": [await self._in_thread(thin_series, one, points) for one in series],
            "cursor": position.encode(),
        }

    async def attempts(self, caller: Caller, project: str, reference: str) -> list[tuple[Attempt, int | None]]:
        """The job's attempts, oldest first, each with how many logged steps it repeated."""
        job = await self._jobs.get(caller, project, reference)
        found = await self._jobs.attempts(job)
        return list(zip(found, await self._repeated_steps(job, found), strict=True))

    async def _repeated_steps(self, job: Job, attempts: Sequence[Attempt]) -> list[int | None]:
        """Per attempt, how many logged steps it repeated; None if nothing had been logged before it."""
        if len(attempts) < 2:
            return [None] * len(attempts)
        position = await self._streams.position(job, {"metrics"})
        sections = [await self._sections_of(job, one.number, position) for one in attempts]
        return repeated_steps(attempts, await self._logged(sections))

    async def _of_all_attempts(self, job: Job, selection: Selection, position: Cursor) -> tuple[list[Series], int]:
        """The series of all attempts, joined, and how many of their points were left out as repeated."""
        attempts = await self._jobs.attempts(job)
        sections = [await self._sections_of(job, one.number, position) for one in attempts]
        found = [await self._in_thread(select_metrics, one, selection) for one in sections]
        if len(found) == 1:
            return found[0], 0
        cuts = kept_through(attempts, await self._logged(sections))
        joined: tuple[list[Series], int] = await self._in_thread(_join, found, cuts)
        return joined

    async def _sections_of(self, job: Job, attempt: int, position: Cursor) -> list[bytes]:
        """The metrics of an attempt up to a position: who follows from there gets the next ones."""
        found = await self._database.streams.metrics_sections(job.id, attempt)
        if attempt <= position.settled:
            return [one.metrics for one in found]
        reached = position.reports.get(str(attempt), {})
        return [one.metrics for one in found if one.through <= reached.get(one.worker, 0)]

    async def _logged(self, sections: Sequence[Sequence[bytes]]) -> list[LoggedSteps | None]:
        """Per attempt, the first and the last step that it logged."""
        found = [await self._in_thread(logged_steps, one) for one in sections]
        return [None if steps is None else LoggedSteps(*steps) for steps in found]


def _join(attempts: Sequence[Sequence[Series]], cuts: Sequence[float]) -> tuple[list[Series], int]:
    """Join the attempts' points, each up to its cut."""
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
