"""The verbs of goodput: for one job, and for all jobs of a project."""

from __future__ import annotations

from headway.core.goodput import Goodput, goodput
from headway.core.job_query import JobQuery
from headway.database.base import Database
from headway.server.access import Action, Caller, require_in_project
from headway.server.clock import Clock
from headway.server.services.jobs import Jobs

_PAGE_JOBS = 200


class Goodputs:
    """How jobs spent their time. It is computed on request."""

    def __init__(self, database: Database, jobs: Jobs, clock: Clock) -> None:
        self._database = database
        self._jobs = jobs
        self._clock = clock

    async def of_job(self, caller: Caller, project: str, reference: str) -> Goodput:
        """How the job has spent its time so far. Raises NotFound, NotAllowed, Damaged."""
        job = await self._jobs.get(caller, project, reference)
        return goodput(job, await self._jobs.attempts(job), self._clock.now())

    async def of_project(self, caller: Caller, project: str, last_seconds: float) -> tuple[Goodput, int]:
        """How the jobs submitted in the last `last_seconds` spent their time, and how many jobs these are."""
        require_in_project(caller, Action.JOBS_READ, project)
        since = self._clock.now() - last_seconds
        total, count = Goodput(), 0
        after: tuple[float | None, int] | None = None
        while page := await self._database.jobs(
            JobQuery(project=project, created_after=since, after=after, limit=_PAGE_JOBS)
        ):
            for job in page:
                total = total.plus(goodput(job, await self._jobs.attempts(job), self._clock.now()))
            count += len(page)
            after = (page[-1].created_at, page[-1].sequence)
        return total, count
