"""The stored jobs: find, insert, delete; and `update`, which makes every change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from headway.core import transitions
from headway.core.actor import Actor
from headway.core.attempt import Attempt
from headway.core.job import Job, WakeUp
from headway.core.job_change import attributed
from headway.core.job_times import in_order
from headway.database.base import Database
from headway.errors import Conflict, Damaged, HeadwayError, NotFound
from headway.server.access import Action, AttemptSubject, Caller, JobSubject, require
from headway.server.clock import Clock
from headway.server.services.unsettled import UnsettledJobs


class _Delivered(NamedTuple):
    """The delivered events of a job, up to a number, and its delivered wake-ups."""

    through: int
    wakeups: Sequence[WakeUp]


class Jobs:
    """Jobs in the database. The unsettled ones are also kept in memory.

    The copy in memory only saves reads: each write compares the version in the database.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}
        self._delivered: dict[str, _Delivered] = {}
        self.unsettled = UnsettledJobs()
        self.on_change: Sequence[Callable[[Job], None]] = ()
        """Listeners to changes, in the order of their calls."""
        self.on_delete: Sequence[Callable[[Job], None]] = ()
        """Listeners to deletions, in the order of their calls."""

    async def open(self) -> None:
        """Load the unsettled jobs."""
        for job in await self._database.unsettled_jobs():
            self._announce(job)

    async def allowed(
        self, caller: Caller, action: Action, project: str, reference: str, attempt: int | None = None
    ) -> Job:
        """The project's job with that id or name, if the caller may do the action to it, or to this attempt of it.

        Raises NotFound, also if the caller may not see the job, NotAllowed, Damaged.
        """
        absent = _absent(reference)
        try:
            job = await self.find(project, reference)
        except Damaged as damaged:
            require(caller, action, _subject(damaged.details["row_id"], project, attempt), absent)
            raise
        require(caller, action, _subject(job.id, project, attempt), absent)
        return job

    async def get(self, caller: Caller, project: str, reference: str) -> Job:
        """The job, if the caller may read it. Raises NotFound, NotAllowed, Damaged."""
        return await self.allowed(caller, Action.JOBS_READ, project, reference)

    async def insert(self, job: Job) -> Job:
        """Store a new job. Raises IdempotencyKeyReused, NameTaken."""
        job = await self._database.insert_job(job)
        self._announce(job)
        return job

    async def with_key(self, project: str, idempotency_key: str) -> Job | None:
        """The job that was submitted with the key, or the tombstone of a deleted one."""
        return await self._database.job_with_key(project, idempotency_key)

    async def named(self, project: str, name: str) -> Job | None:
        """The job that has the name."""
        return await self._database.job_named(project, name)

    async def by_id(self, job_id: str) -> Job:
        """The job with that id. Raises NotFound, Damaged."""
        return self.unsettled.find(job_id) or await self._database.job(job_id)

    async def find(self, project: str, reference: str) -> Job:
        """The project's job with that id or name. Raises NotFound, Damaged."""
        if reference.startswith("j-"):
            try:
                job = await self.by_id(reference)
                if job.project == project:
                    return job
            except Damaged as damaged:
                if damaged.details["project"] == project:
                    raise
            except NotFound:
                pass
        named = await self._database.job_named(project, reference)
        if named is None:
            raise _absent(reference)
        return self.unsettled.find(named.id) or named  # it may have changed while it was read

    async def project_of(self, job_id: str) -> str | None:
        """The project of the job with that id; None if there is no such job, or it cannot be read."""
        try:
            return (await self.by_id(job_id)).project
        except NotFound:
            return None

    async def attempt(self, job: Job, number: int) -> Attempt | None:
        """The job's attempt of that number, also an ended one."""
        if job.attempt is not None and job.attempt.number == number:
            return job.attempt
        return next((one for one in await self._database.attempts(job.id) if one.number == number), None)

    async def attempts(self, job: Job, after: int = 0) -> list[Attempt]:
        """The attempts with a number above `after`, oldest first. Getting only the newest needs no database read."""
        newest = [job.attempt] if job.attempt is not None and job.attempt.number > after else []
        if job.attempt_number <= after + 1:
            return newest
        stored = await self._database.attempts(job.id)
        return [*(one for one in stored if after < one.number < job.attempt_number), *newest]

    async def delete(self, job: Job) -> None:
        """Delete an ended job. Its key stays in use; its name becomes free.

        Raises Conflict if it has not ended, or another job needs one of its checkpoints.
        """
        async with self._locked(job.id):
            job = await self._database.job(job.id)
            if not job.status.terminal:
                raise Conflict(f"Job {job.name} is {job.status}; cancel it before you delete it.")
            users = sorted({user for one in job.checkpoints for user in one.users})
            if users:
                raise Conflict(
                    f"Job {users[0]} started from a checkpoint of job {job.name}. It needs that until it has a "
                    "checkpoint of its own or ends. Wait for that, or cancel it."
                )
            if not await self._database.delete_job(job.model_copy(update={"version": job.version + 1})):
                raise Conflict(f"Job {job.name} changed at the same moment. Try again.")
            self.unsettled.forget(job.id)
            self._delivered.pop(job.id, None)
        for tell in self.on_delete:
            tell(job)
        await self._database.streams.delete(job.id)  # housekeeping does it if this server dies first

    async def update(self, job_id: str, transition: Callable[[Job], Job], actor: Actor | None = None) -> Job:
        """Apply a pure transition by compare-and-set. If another writer was first, try again with the newest version.

        `actor`: who requested the change, if not the server itself. The events of the change name it.
        """
        async with self._locked(job_id):
            known_newest = True
            while True:
                job = self._without_delivered(self.unsettled.find(job_id) or await self._database.job(job_id))
                refusal = None
                try:
                    changed = attributed(job, transition(job), actor)
                except HeadwayError as error:
                    changed, refusal = job, error
                if changed is job:
                    if await self._is_newest(job):
                        if not known_newest:
                            self._announce(job)  # another server wrote it; no listener here knows it yet
                        if refusal is not None:
                            raise refusal
                        return job
                else:
                    changed = in_order(job, changed).model_copy(update={"version": job.version + 1})
                    if await self._database.replace_job(changed):
                        self._announce(changed)
                        return changed
                known_newest = False
                self.unsettled.forget(job_id)

    async def _is_newest(self, job: Job) -> bool:
        """Whether the copy in memory is the stored version: a former leader that wakes up may have written since."""
        return not self._database.shared or (await self._database.job(job.id)).version == job.version

    async def note_delivered(self, delivered: Job, through: int, wakeups: Sequence[WakeUp]) -> None:
        """Note that events up to a number, and wake-ups, are delivered. An ended job drops them now, other jobs with
        their next change.
        """
        known = self._delivered.get(delivered.id, _Delivered(0, ()))
        self._delivered[delivered.id] = _Delivered(max(known.through, through), wakeups)
        if delivered.status.terminal and through >= delivered.event_count:
            with suppress(NotFound):  # it was deleted meanwhile
                await self.update(delivered.id, lambda job: job.model_copy() if job.status.terminal else job)
            self._delivered.pop(delivered.id, None)

    def _without_delivered(self, job: Job) -> Job:
        known = self._delivered.get(job.id)
        return job if known is None else transitions.delivered(job, known.through, known.wakeups)

    @asynccontextmanager
    async def _locked(self, job_id: str) -> AsyncIterator[None]:
        """Let writers of this process take turns, so that they do not fail each other's compare-and-set."""
        lock = self._locks.setdefault(job_id, asyncio.Lock())
        self._waiting[job_id] = self._waiting.get(job_id, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._waiting[job_id] -= 1
            if not self._waiting[job_id]:
                del self._waiting[job_id], self._locks[job_id]

    def _announce(self, job: Job) -> None:
        self.unsettled.keep(job)
        for tell in self.on_change:
            tell(job)


def check_open(job: Job, attempt: int) -> None:
    """Raises Conflict unless the attempt is the job's newest and has not ended."""
    if job.open_attempt(attempt) is None:
        raise Conflict(f"Attempt {attempt} of job {job.name} is not the current one, or has ended.")


def _absent(reference: str) -> NotFound:
    return NotFound(f"Job {reference} does not exist. `headway jobs` lists those that do.")


def _subject(job_id: str, project: str, attempt: int | None) -> JobSubject | AttemptSubject:
    return JobSubject(job_id, project) if attempt is None else AttemptSubject(job_id, project, attempt)
