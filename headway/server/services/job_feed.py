"""Watching all jobs of a project: all as they are now, then each whenever something that users see of it changes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from secrets import token_hex
from typing import NamedTuple

from headway.core.job import Job
from headway.core.job_query import JobQuery, JobSort, sort_values
from headway.core.json_value import shown
from headway.database.base import Database
from headway.errors import InvalidInput, NotFound, Unavailable
from headway.server.access import Action, Caller, require_in_project
from headway.server.services.jobs import Jobs
from headway.server.services.live_job import Frame
from headway.server.watchers import Watchers

_PAGE_JOBS = 200
_REMEMBERED_JOBS = 10_000
"""Whose last change is known. A cursor from before these begins with all jobs again."""
_PASS_SECONDS = 0.1
_KEEP_ALIVE_SECONDS = 15.0
_UNAVAILABLE_SECONDS = 1.0
Render = Callable[[Job | str | None], bytes]
"""Makes the JSON of a frame: `job` of a job, `deleted` of an id, `ready` of None."""


class _Change(NamedTuple):
    """The last change of a job. `deleted_from`: the project that it was deleted from."""

    number: int
    deleted_from: str | None = None


class JobFeed:
    """Numbers the changes of all jobs since the server started; a cursor is such a number.

    A cursor of another server, or from before the changes that are remembered, begins with all jobs again.
    """

    def __init__(self, database: Database, jobs: Jobs, watchers: Watchers) -> None:
        self._database = database
        self._jobs = jobs
        self._watchers = watchers
        self._start = token_hex(4)
        self._number = 0
        self._forgotten = 0
        self._changes: OrderedDict[str, _Change] = OrderedDict()
        self._seen: dict[str, Job] = {}
        self._bodies: dict[str, tuple[int, bytes]] = {}
        self._woken = asyncio.Event()

    def job_changed(self, job: Job) -> None:
        """Note a change, unless users see nothing of it."""
        seen = job.model_copy(update={"version": 0, "events": (), "wakeups": ()})
        changed = self._seen.get(job.id) != seen
        self._seen[job.id] = seen
        if job.status.terminal and not job.events:
            del self._seen[job.id]
        if changed:
            self._note(job.id, None)

    def job_deleted(self, job: Job) -> None:
        """Note that a job is gone."""
        self._seen.pop(job.id, None)
        self._note(job.id, job.project)

    def progressed(self, job_id: str) -> None:
        """Note that the training of a job has made a step. Ids of other than active jobs are ignored."""
        if self._jobs.unsettled.find(job_id) is not None:
            self._note(job_id, None)

    def close(self) -> None:
        """Wake everyone for the last time: the server stops."""
        self._wake()

    def watch(
        self, caller: Caller, project: str, cursor: str | None, render: Render
    ) -> AsyncIterator[list[Frame] | None]:
        """All jobs, newest first, `ready`, then each job that changes, until the server stops; after a cursor only what
        has changed since.

        None: nothing new for long. Raises Overloaded when there are too many followers, and InvalidInput.
        """
        require_in_project(caller, Action.JOBS_READ, project)
        self._watchers.check_room()
        return self._watch(project, self._decode(cursor), render)

    async def _watch(self, project: str, number: int | None, render: Render) -> AsyncIterator[list[Frame] | None]:
        versions: dict[str, int] = {}
        with self._watchers.counted():
            if number is None:
                number = self._number
                async for jobs in self._all(project):
                    versions |= {job.id: job.version for job in jobs}
                    yield [Frame("job", render(job), "") for job in jobs]
                yield [Frame("ready", render(None), self._encode(number))]
            while not self._watchers.closed:
                frames, number = await self._changed(project, number, versions, render)
                versions = {}
                if frames:
                    yield frames
                    await asyncio.sleep(_PASS_SECONDS)
                elif number == self._number and not await self._wait():
                    yield None

    async def _changed(
        self, project: str, after: int, versions: dict[str, int], render: Render
    ) -> tuple[list[Frame], int]:
        """What changed after a number, but for `versions` of jobs, which are known; and the number of the last."""
        found: list[tuple[str, _Change]] = []
        for job_id, change in reversed(self._changes.items()):
            if change.number <= after or len(found) > _REMEMBERED_JOBS:
                break
            found.append((job_id, change))
        frames = []
        for job_id, change in reversed(found):
            body = None
            if change.deleted_from is not None:
                body = render(job_id) if change.deleted_from == project else None
            elif (job := await self._find(job_id)) is not None and job.project == project:
                body = self._body(job, change.number, render) if versions.get(job_id) != job.version else None
            if body is not None:
                kind = "deleted" if change.deleted_from is not None else "job"
                frames.append(Frame(kind, body, self._encode(change.number)))
            after = change.number
            if len(frames) >= _PAGE_JOBS:
                break
        return frames, after

    def _body(self, job: Job, number: int, render: Render) -> bytes:
        """The job's frame, which is made once for all who watch."""
        kept = self._bodies.get(job.id)
        if kept is None or kept[0] != number:
            kept = number, render(job)
            if job.id in self._changes:
                self._bodies[job.id] = kept
        return kept[1]

    async def _find(self, job_id: str) -> Job | None:
        while not self._watchers.closed:
            try:
                return await self._jobs.by_id(job_id)
            except Unavailable:
                await asyncio.sleep(_UNAVAILABLE_SECONDS)
            except NotFound:
                break  # it was deleted since, which is a change of its own
        return None

    async def _all(self, project: str) -> AsyncIterator[list[Job]]:
        query = JobQuery(project=project, limit=_PAGE_JOBS)
        while not self._watchers.closed:
            try:
                jobs = await self._database.jobs(query)
            except Unavailable:
                await asyncio.sleep(_UNAVAILABLE_SECONDS)
                continue
            if jobs:
                yield jobs
            if len(jobs) < _PAGE_JOBS:
                return
            after = sort_values(jobs[-1])[JobSort.CREATED], jobs[-1].sequence
            query = JobQuery(project=project, limit=_PAGE_JOBS, after=after)

    def _note(self, job_id: str, deleted_from: str | None) -> None:
        self._number += 1
        self._changes[job_id] = _Change(self._number, deleted_from)
        self._changes.move_to_end(job_id)
        if len(self._changes) > _REMEMBERED_JOBS:
            forgotten, change = self._changes.popitem(last=False)
            self._bodies.pop(forgotten, None)
            self._forgotten = change.number
        self._wake()

    def _wake(self) -> None:
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()

    async def _wait(self) -> bool:
        woken = self._woken
        with suppress(TimeoutError):
            async with asyncio.timeout(_KEEP_ALIVE_SECONDS):
                await woken.wait()
        return woken.is_set()

    def _encode(self, number: int) -> str:
        return f"{self._start}-{number}"

    def _decode(self, cursor: str | None) -> int | None:
        """The number of a cursor of this server; None: begin with all jobs. Raises InvalidInput."""
        if not cursor:
            return None
        start, dash, digits = cursor.partition("-")
        if not (len(start) == len(self._start) and dash and digits.isascii() and digits.isdigit() and len(digits) < 20):
            raise InvalidInput(f"Cursor {shown(cursor)} is not valid here. Leave it out to begin with all jobs.")
        number = int(digits)
        return number if start == self._start and self._forgotten <= number <= self._number else None
