"""The queue in memory: the jobs to be placed, in order of priority, then age."""

from __future__ import annotations

from bisect import bisect_left, insort

from headway.core.job import Job
from headway.core.placement import Gang, gang_of
from headway.core.status import JobStatus
from headway.database.base import Database

_PAGE_JOBS = 500
_Entry = tuple[int, int, Gang]


class Queue:
    """It holds the whole queue, however long: a bounded window would starve jobs that need other workers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries: list[_Entry] = []
        self._of_job: dict[str, _Entry] = {}

    async def open(self) -> None:
        """Load the queued jobs."""
        after: tuple[int, int] | None = None
        while page := await self._database.queued_jobs(after, _PAGE_JOBS):
            for job in page:
                self.job_changed(job)
            after = page[-1].spec.priority, page[-1].sequence

    def gangs(self) -> list[Gang]:
        """The queue, its front first."""
        return [gang for _, _, gang in self._entries]

    def of_project(self, project: str) -> list[str]:
        """The ids of a project's jobs in the queue, its front first."""
        return [gang.job for _, _, gang in self._entries if gang.project == project]

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._of_job

    def job_changed(self, job: Job) -> None:
        """Update the queue after a change."""
        known = self._of_job.pop(job.id, None)
        if known is not None:
            del self._entries[bisect_left(self._entries, known)]
        if job.status is JobStatus.QUEUED and not job.hold:
            entry = self._of_job[job.id] = (-job.spec.priority, job.sequence, gang_of(job))
            insort(self._entries, entry)
