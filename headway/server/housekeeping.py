"""Compacts the reports of ended attempts into chunks, and deletes streams by age and size."""

from __future__ import annotations

import asyncio
import logging

from headway.core.job import Job
from headway.database.base import Database
from headway.errors import HeadwayError, NotFound
from headway.reports import Report, merge_reports
from headway.server.clock import Clock
from headway.server.services.jobs import Jobs

_log = logging.getLogger(__name__)
_CHUNK_BYTES = 1 << 20
_PAGE_REPORTS = 64
_SWEEP_SECONDS = 3600.0
_DAY_SECONDS = 86_400.0
_LARGEST_NUMBER = 2**31 - 1


class Housekeeping:
    """Nothing here changes what can be read, except that old streams are gone, which is logged."""

    def __init__(
        self, database: Database, jobs: Jobs, clock: Clock, retention_days: float, retention_bytes: int
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._clock = clock
        self._retention_days = retention_days
        self._retention_bytes = retention_bytes
        self._ended: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._seen: dict[str, int] = {}
        jobs.on_change.append(self._job_changed)

    def _job_changed(self, job: Job) -> None:
        attempt = job.attempt
        if attempt is None or attempt.ended_at is None or attempt.number in job.draining:
            return
        if self._seen.get(job.id) != attempt.number:
            self._seen[job.id] = attempt.number
            self._ended.put_nowait((job.id, attempt.number))
        if job.status.terminal and not job.unsettled:
            self._seen.pop(job.id, None)

    async def run(self) -> None:
        """Compact what ends, and sweep once an hour."""
        next_sweep = self._clock.monotonic()
        while True:
            wait_seconds = max(0.0, next_sweep - self._clock.monotonic())
            try:
                job_id, attempt = await asyncio.wait_for(self._ended.get(), wait_seconds)
                await self.compact(job_id, attempt)
            except TimeoutError:
                next_sweep = self._clock.monotonic() + _SWEEP_SECONDS
                await self.sweep()
            except HeadwayError as error:
                _log.error("Streams were not compacted: %s", error)

    async def compact(self, job_id: str, attempt: int) -> None:
        """Merge the reports of an ended attempt into chunks of about a megabyte."""
        index = await self._database.report_index(job_id, attempt)
        for worker in sorted({row.worker for row in index}):
            run: list[Report] = []
            position = 0
            while page := await self._database.reports(
                job_id, attempt, worker, position, _LARGEST_NUMBER, _PAGE_REPORTS
            ):
                for report in page:
                    gap = bool(run) and report.number != run[-1].through + 1
                    if run and (gap or sum(len(one.logs) + len(one.metrics) for one in run) > _CHUNK_BYTES):
                        await self._replace(run)
                        run = []
                    run.append(report)
                    position = report.through
            await self._replace(run)

    async def _replace(self, run: list[Report]) -> None:
        if len(run) > 1:
            await self._database.compact(await asyncio.to_thread(merge_reports, run))

    async def sweep(self) -> None:
        """Delete streams of ended jobs that are too old, then the oldest until the rest is small enough."""
        sizes = await self._database.stream_sizes()
        total_bytes = sum(size.size_bytes for size in sizes)
        oldest = self._clock.now() - self._retention_days * _DAY_SECONDS
        for size in sizes:
            try:
                job = await self._database.job(size.job)
            except NotFound:
                await self._database.delete_streams(size.job)
                continue
            if not job.status.terminal or job.ended_at is None or job.draining:
                continue
            if job.ended_at < oldest or total_bytes > self._retention_bytes:
                await self._database.delete_streams(job.id)
                total_bytes -= size.size_bytes
                _log.info("Logs and metrics of job %s (%d bytes) were deleted by retention.", job.name, size.size_bytes)
