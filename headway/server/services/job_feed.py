"""A live feed of a project's jobs: first the newest ones, then each job when it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

from headway.core.job import Job
from headway.core.job_query import JobQuery
from headway.database.base import Database
from headway.errors import NotFound, Unavailable
from headway.server.access import Action, Caller, require_in_project
from headway.server.services.jobs import Jobs
from headway.server.watchers import Watchers

_SNAPSHOT_JOBS = 200
_KEEP_ALIVE_SECONDS = 15.0
_UNAVAILABLE_SECONDS = 1.0


class Deleted(NamedTuple):
    """The job with this id was deleted."""

    id: str


class Ready(NamedTuple):
    """The newest jobs are complete. Only changes follow."""


class JobFeed:
    """A feed has no stored state: after a lost connection it starts again from the beginning."""

    def __init__(self, database: Database, jobs: Jobs, watchers: Watchers) -> None:
        self._database = database
        self._jobs = jobs
        self._watchers = watchers

    def watch(self, caller: Caller, project: str) -> AsyncIterator[Job | Deleted | Ready | None]:
        """The newest jobs, oldest first, then `Ready`, then each job that changes, until the server stops.

        None: there was nothing new for a while. Raises Overloaded when there are too many followers.
        """
        require_in_project(caller, Action.JOBS_READ, project)
        self._watchers.check_room()
        return self._watch(project)

    async def _watch(self, project: str) -> AsyncIterator[Job | Deleted | Ready | None]:
        with self._watchers.watching() as watcher:
            for job in reversed(await self._newest(project)):
                yield job
            yield Ready()
            while not self._watchers.closed:
                changed = await watcher.take(_KEEP_ALIVE_SECONDS)
                if not changed and not self._watchers.closed:
                    yield None
                for job_id, deleted_from in changed.items():
                    if deleted_from is not None:
                        if deleted_from == project:
                            yield Deleted(job_id)
                        continue
                    try:
                        job = await self._jobs.by_id(job_id)
                    except Unavailable:
                        watcher.add(job_id)
                        await asyncio.sleep(_UNAVAILABLE_SECONDS)
                    except NotFound:
                        continue  # it was deleted since, which comes as an item of its own
                    else:
                        if job.project == project:
                            yield job

    async def _newest(self, project: str) -> list[Job]:
        while True:
            try:
                return await self._database.jobs(JobQuery(project=project, limit=_SNAPSHOT_JOBS))
            except Unavailable:
                await asyncio.sleep(_UNAVAILABLE_SECONDS)
