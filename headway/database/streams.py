"""The contract of the streams: reports as workers sent them, and the chunks they are merged into.

A database supplies its own, at the same URL: no setting chooses another. Nothing here needs a job's row, so that
streams may lie in another file than the jobs, as SQLite's do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from headway.core.damaged import DamagedRow
from headway.formats.reports import Report


@dataclass(frozen=True, slots=True)
class ReportIndex:
    """Which report numbers a stored row covers, and whether facts are in it."""

    worker: str
    number: int
    through: int
    last: bool
    has_facts: bool


class StreamStore(ABC):
    """Reports by (job, attempt, worker, number). It opens and closes with its database.

    Raises Unavailable where it cannot be reached or is full; nothing is changed then.
    """

    @abstractmethod
    async def insert(self, reports: Sequence[Report]) -> None:
        """Store whole reports; those that are there already stay."""

    @abstractmethod
    async def index(self, job_id: str, attempt: int) -> list[ReportIndex]:
        """What is stored of an attempt, by worker and number, without contents."""

    @abstractmethod
    async def reports(
        self, job_id: str, attempt: int, worker: str, after: int, through: int, limit: int
    ) -> list[Report]:
        """Reports and chunks that cover numbers in (after, through], by number."""

    @abstractmethod
    async def metrics_sections(self, job_id: str, attempt: int) -> list[bytes]:
        """The metrics of an attempt's reports, by worker and number."""

    @abstractmethod
    async def compact(self, chunk: Report) -> None:
        """Replace the reports that `chunk` covers by it."""

    @abstractmethod
    async def sizes(self) -> dict[str, int]:
        """Bytes of the streams of each job that has any, by its id."""

    @abstractmethod
    async def delete(self, job_id: str) -> None:
        """Delete the reports of a job."""

    @abstractmethod
    async def delete_damaged(self, row: DamagedRow) -> None:
        """Delete a damaged report; of a damaged job all its reports."""
