"""The contract of the streams: reports as workers sent them, and the chunks into which they are merged.

Each database supplies its own, at the same URL; no setting chooses another. Nothing here needs a job's row, so streams
may be stored in another file than the jobs, as with SQLite.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from headway.core.damaged import DamagedRow
from headway.formats.reports import Report


@dataclass(frozen=True, slots=True)
class ReportIndex:
    """The report numbers that a stored row covers, and whether it has facts."""

    worker: str
    number: int
    through: int
    last: bool
    has_facts: bool


@dataclass(frozen=True, slots=True)
class MetricsSection:
    """The metrics of a report, or of a chunk of reports up to number `through`."""

    worker: str
    through: int
    metrics: bytes


class StreamStore(ABC):
    """Reports by (job, attempt, worker, number). It opens and closes with its database.

    Raises Unavailable when it is unreachable or full; then nothing is changed.
    """

    @abstractmethod
    async def insert(self, reports: Sequence[Report]) -> None:
        """Store whole reports. Stored reports are not changed."""

    @abstractmethod
    async def index(self, job_id: str, attempt: int) -> list[ReportIndex]:
        """The stored rows of an attempt, by worker and number, without contents."""

    @abstractmethod
    async def reports(
        self, job_id: str, attempt: int, worker: str, after: int, through: int, limit: int
    ) -> list[Report]:
        """Reports and chunks that cover numbers in (after, through], by number."""

    @abstractmethod
    async def reports_before(self, job_id: str, attempt: int, worker: str, before: int, limit: int) -> list[Report]:
        """Reports and chunks that begin before number `before`, the last first. Facts are left out."""

    @abstractmethod
    async def metrics_sections(self, job_id: str, attempt: int) -> list[MetricsSection]:
        """The metrics of an attempt's reports, by worker and number."""

    @abstractmethod
    async def compact(self, chunk: Report) -> None:
        """Replace the reports that `chunk` covers with it."""

    @abstractmethod
    async def sizes(self) -> dict[str, int]:
        """Bytes of the streams of each job that has any, by its id."""

    @abstractmethod
    async def delete(self, job_id: str) -> None:
        """Delete the reports of a job."""

    @abstractmethod
    async def delete_damaged(self, row: DamagedRow) -> None:
        """Delete a damaged report, or all reports of a damaged job."""
