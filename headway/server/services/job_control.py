"""The verbs of jobs for users: list, describe, cancel, pause, resume, delete."""

from __future__ import annotations

from typing import NamedTuple

from headway.core import transitions
from headway.core.damaged import DamagedRow, RowKind
from headway.core.job import Job
from headway.core.job_query import JobQuery
from headway.database.base import Database
from headway.errors import Damaged
from headway.server.access import Action, Caller, actor_of, require_in_project
from headway.server.clock import Clock
from headway.server.services.artifacts import Artifacts
from headway.server.services.checkpoints import Checkpoints
from headway.server.services.damaged import DamagedRows
from headway.server.services.jobs import Jobs
from headway.server.services.rows import Row, Rows


class Listed(NamedTuple):
    """A page of jobs. `counts`: how many jobs the project has, by status; `damaged`: rows that cannot be read.

    Only the first page has these.
    """

    rows: list[Row]
    counts: dict[str, int] | None
    damaged: list[DamagedRow]


class JobControl:
    """Each verb but `list` names a job of a project, by id or name. All raise NotFound, NotAllowed and Damaged."""

    def __init__(
        self,
        *,
        database: Database,
        jobs: Jobs,
        checkpoints: Checkpoints,
        artifacts: Artifacts,
        damaged: DamagedRows,
        rows: Rows,
        clock: Clock,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._checkpoints = checkpoints
        self._artifacts = artifacts
        self._damaged = damaged
        self._rows = rows
        self._clock = clock

    async def list(self, caller: Caller, query: JobQuery) -> Listed:
        """The requested jobs."""
        require_in_project(caller, Action.JOBS_READ, query.project)
        jobs = await self._database.jobs(query)
        places = self._rows.places(query.project)
        rows = [self._rows.of(job, places) for job in jobs]
        if query.after is not None:
            return Listed(rows, None, [])
        damaged = [row for row in self._database.damage.rows(RowKind.JOB) if row.project == query.project]
        return Listed(rows, await self._database.job_counts(query.project), damaged)

    async def describe(
        self, caller: Caller, project: str, reference: str, labels: dict[str, str] | None, notes: str | None
    ) -> Job:
        """Change labels and notes. The job may have any status."""
        job = await self._jobs.allowed(caller, Action.JOBS_WRITE, project, reference)
        now = self._clock.now()
        return await self._jobs.update(
            job.id, lambda job: transitions.describe(job, labels, notes, now), actor_of(caller)
        )

    async def cancel(self, caller: Caller, project: str, reference: str, *, kill: bool = False) -> Job:
        """Ask the job to end; with `kill`, without a grace period. Raises Conflict when it has ended."""
        job = await self._jobs.allowed(caller, Action.JOBS_WRITE, project, reference)
        now = self._clock.now()
        return await self._jobs.update(job.id, lambda job: transitions.cancel(job, now, kill=kill), actor_of(caller))

    async def pause(self, caller: Caller, project: str, reference: str) -> Job:
        """Let the ranks save and end; the job stays queued until it is resumed. Raises Conflict when it has ended."""
        job = await self._jobs.allowed(caller, Action.JOBS_WRITE, project, reference)
        now = self._clock.now()
        return await self._jobs.update(job.id, lambda job: transitions.pause(job, now), actor_of(caller))

    async def resume(self, caller: Caller, project: str, reference: str) -> Job:
        """Let a paused job be placed again. Raises Conflict when it is not paused."""
        job = await self._jobs.allowed(caller, Action.JOBS_WRITE, project, reference)
        now = self._clock.now()
        return await self._jobs.update(job.id, lambda job: transitions.resume(job, now), actor_of(caller))

    async def delete(self, caller: Caller, project: str, reference: str) -> None:
        """Delete an ended job, or one whose row is damaged, with everything that belongs to it.

        Raises Conflict while it is active, or another job needs one of its checkpoints.
        """
        try:
            job = await self._jobs.allowed(caller, Action.JOBS_WRITE, project, reference)
        except Damaged as damaged:
            await self._damaged.delete_found(RowKind.JOB, damaged.details["row_id"])
            return
        await self._checkpoints.release_dangling(job)  # a fork that has just ended no longer needs it
        await self._jobs.delete(job)
        await self._checkpoints.delete_objects(job.id)
        await self._artifacts.delete_all(job.id)
