"""Keeps the curve of each job's main metric up to date as reports are recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from headway.core.curve import Curve, main_series, with_attempt, with_points
from headway.core.job import Job
from headway.core.protocol import AssignmentKey
from headway.database.base import Database
from headway.errors import HeadwayError
from headway.formats.metrics import chosen_series
from headway.formats.reports import Report
from headway.server.services.jobs import Jobs

STORED_REPORTS = 64
"""A curve is stored with its job after this many reports. A server that starts reads the reports that came since."""
_INLINE_BYTES = 64 << 10
"""Of compressed metrics that are read at once. Larger ones are read in a thread."""
_PAGE_REPORTS = 10


class Curves:
    """The curves of unsettled jobs in memory. Those of others are as stored with the job."""

    def __init__(self, database: Database, jobs: Jobs) -> None:
        self._database = database
        self._jobs = jobs
        self._curves: dict[str, Curve] = {}
        self._unstored: dict[str, int] = {}

    def of(self, job: Job) -> Curve | None:
        """The job's curve; None before its first point."""
        curve = self._curves.get(job.id, job.curve)
        return curve if curve is not None and curve.steps else None

    def kept_in(self, job: Job) -> Job:
        """The job with its newest curve, to be stored."""
        curve = self._curves.get(job.id)
        return job if curve is None or curve == job.curve else job.model_copy(update={"curve": curve})

    async def read_missing(self, job: Job, key: AssignmentKey, stored: int) -> None:
        """Read what a server before this one recorded of a worker and did not store in the curve."""
        curve = with_attempt(self._curves.get(job.id, job.curve) or Curve(), key.attempt)
        after = curve.reports.get(key.worker, 0)
        while curve.attempt == key.attempt and after < stored:
            page = await self._database.streams.reports(
                key.job, key.attempt, key.worker, after, stored, _PAGE_REPORTS
            )  # fmt: skip
            if not page:
                return
            after = page[-1].through
            await self.recorded(page, {key: after})

    async def recorded(self, reports: Sequence[Report], stored: Mapping[AssignmentKey, int]) -> None:
        """Add the points of reports. `stored`: up to which number the reports of their workers have no gap now."""
        if sum(len(report.metrics) for report in reports) > _INLINE_BYTES:
            found = await asyncio.to_thread(_main_series_of, reports)
        else:
            found = _main_series_of(reports)
        for report, series in zip(reports, found, strict=True):
            curve = self._curve(report.job)
            if curve is None or report.attempt < curve.attempt:
                continue
            curve = with_attempt(curve, report.attempt)
            if series is not None:
                curve = with_points(curve, *series)
            self._curves[report.job] = curve
            self._unstored[report.job] = self._unstored.get(report.job, 0) + 1
        for key, through in stored.items():
            curve = self._curves.get(key.job)
            if curve is not None and curve.attempt == key.attempt:
                known = {**curve.reports, key.worker: max(through, curve.reports.get(key.worker, 0))}
                self._curves[key.job] = curve.model_copy(update={"reports": known})
        await self._store(dict.fromkeys(report.job for report in reports))

    def job_changed(self, job: Job) -> None:
        """Forget the curve of a job that has settled. It is stored with the job."""
        if not job.unsettled:
            self.job_deleted(job)

    def job_deleted(self, job: Job) -> None:
        """Forget the curve of a job that is gone."""
        self._curves.pop(job.id, None)
        self._unstored.pop(job.id, None)

    def _curve(self, job_id: str) -> Curve | None:
        job = self._jobs.unsettled.find(job_id)
        return self._curves.get(job_id) or (None if job is None else job.curve or Curve())

    async def _store(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            if self._unstored.get(job_id, 0) >= STORED_REPORTS:
                with suppress(HeadwayError):  # it is tried again with the next report
                    await self._jobs.update(job_id, self.kept_in)
                    self._unstored[job_id] = 0


def _main_series_of(reports: Sequence[Report]) -> list[tuple[str, int, list[tuple[int, float]]] | None]:
    return [chosen_series(report.metrics, main_series) for report in reports]
