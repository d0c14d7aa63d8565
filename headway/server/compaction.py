"""Merges the stored reports of ended attempts into chunks. What users read does not change."""

from __future__ import annotations

import asyncio
import logging

from headway.core.attempt import LARGEST_NUMBER
from headway.database.streams import StreamStore
from headway.errors import Corrupt
from headway.formats.reports import Report, merge_reports, stated_bytes

_log = logging.getLogger(__name__)
_CHUNK_BYTES = 1 << 20
_CHUNK_UNPACKED_BYTES = 16 << 20
_PAGE_REPORTS = 64


async def compact(streams: StreamStore, job_id: str, attempt: int) -> None:
    """Merge the reports of an ended attempt into chunks of about a megabyte."""
    index = await streams.index(job_id, attempt)
    for worker in sorted({row.worker for row in index}):
        run = _Run()
        position = 0
        while page := await streams.reports(job_id, attempt, worker, position, LARGEST_NUMBER, _PAGE_REPORTS):
            for report in page:
                if not run.takes(report):
                    await _replace(streams, run.reports)
                    run = _Run()
                run.add(report)
                position = report.through
        await _replace(streams, run.reports)


async def _replace(streams: StreamStore, run: list[Report]) -> None:
    if len(run) > 1:
        try:
            await streams.compact(await asyncio.to_thread(merge_reports, run))
        except Corrupt as error:
            _log.warning("Reports of job %s stay as they are: %s", run[0].job, error)


class _Run:
    """Reports that become one chunk. It keeps a running total of their sizes, since there may be thousands."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self._packed_bytes = 0
        self._unpacked_bytes = 0

    def takes(self, report: Report) -> bool:
        """Whether the report follows without a gap and the chunk is not too large with it."""
        return not self.reports or (
            report.number == self.reports[-1].through + 1
            and self._packed_bytes <= _CHUNK_BYTES
            and self._unpacked_bytes + stated_bytes(report) <= _CHUNK_UNPACKED_BYTES
        )

    def add(self, report: Report) -> None:
        """Append the report."""
        self.reports.append(report)
        self._packed_bytes += len(report.logs) + len(report.metrics)
        self._unpacked_bytes += stated_bytes(report)
