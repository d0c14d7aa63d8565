"""The verbs of jobs: submit, find, list, cancel, delete; and `update`, through which every change goes."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from headway.core import transitions
from headway.core.attempt import Attempt
from headway.core.checkpoint import Checkpoint
from headway.core.goodput import Goodput, goodput
from headway.core.job import DEFAULT_PROJECT, Job, JobSpec, Origin
from headway.core.job_change import emit
from headway.core.job_query import JobQuery
from headway.core.job_times import in_order
from headway.database.base import Database
from headway.errors import Conflict, Damaged, HeadwayError, IdempotencyKeyReused, NameTaken, NotFound
from headway.server.clock import Clock
from headway.server.services.unsettled import UnsettledJobs

_PAGE_JOBS = 200
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def draw_id(prefix: str, length: int = 12) -> str:
    """A new random id, easy to read aloud."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(length))


class Jobs:
    """Jobs in the database, with those that are unsettled mirrored in memory.

    The mirror saves reads only: each write compares the version in the database.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}
        self._delivered: dict[str, Job] = {}
        self.unsettled = UnsettledJobs()
        self.on_change: Sequence[Callable[[Job], None]] = ()
        """Whom to tell of each change, in this order."""
        self.on_delete: Sequence[Callable[[str], None]] = ()
        """Whom to tell of each deletion, by id, in this order."""

    async def open(self) -> None:
        """Take up what an earlier server left unsettled."""
        for job in await self._database.unsettled_jobs():
            self._announce(job)

    async def submitted(self, body: bytes, idempotency_key: str | None) -> Job | None:
        """The job that was submitted with that key before. Raises IdempotencyKeyReused if with another body."""
        known = await self._database.job_with_key(DEFAULT_PROJECT, idempotency_key) if idempotency_key else None
        return known and _same_submission(known, hashlib.sha256(body).hexdigest())

    async def submit(
        self,
        spec: JobSpec,
        body: bytes,
        idempotency_key: str | None,
        *,
        job_id: str | None = None,
        origin: Origin | None = None,
        checkpoints: tuple[Checkpoint, ...] = (),
    ) -> tuple[Job, bool]:
        """Insert a job; the same key with the same body answers with the same job. Second: whether it is new.

        A fork comes with the checkpoints that it may start from. Raises IdempotencyKeyReused, NameTaken. The spec has
        been checked.
        """
        body_hash = hashlib.sha256(body).hexdigest()
        now = self._clock.now()
        key = idempotency_key or secrets.token_hex(16)
        while True:
            name = spec.name or f"{_slug(spec.title)}-{draw_id('', 4)}"
            job = Job(
                id=job_id or draw_id("j-"),
                name=name,
                idempotency_key=key,
                body_hash=body_hash,
                spec=spec,
                created_at=now,
                labels=spec.labels,
                notes=spec.notes,
                origin=origin,
                checkpoints=checkpoints,
            )
            job = emit(job, "job.submitted", now)
            try:
                job = await self._database.insert_job(job)
            except NameTaken:
                if spec.name is None:
                    continue
                raise
            except IdempotencyKeyReused:
                known = await self._database.job_with_key(DEFAULT_PROJECT, key)
                if known is None:
                    raise
                return _same_submission(known, body_hash), False
            self._announce(job)
            return job, True

    async def find(self, reference: str) -> Job:
        """The job with that id or name. Raises NotFound, Damaged."""
        known = self.unsettled.find(reference)
        if known is not None:
            return known
        if reference.startswith("j-"):
            try:
                return await self._database.job(reference)
            except Damaged:
                raise
            except NotFound:
                pass
        job = await self._database.job_named(DEFAULT_PROJECT, reference)
        if job is None:
            raise NotFound(f"Job {reference} does not exist. `headway jobs` lists those that do.")
        return self.unsettled.find(job.id) or job  # it may have changed while it was read

    async def project_of(self, job_id: str) -> str | None:
        """The project of the job with that id; None if there is no such job, or it cannot be read."""
        try:
            return (self.unsettled.find(job_id) or await self._database.job(job_id)).project
        except NotFound:
            return None

    async def attempt(self, job: Job, number: int) -> Attempt | None:
        """The job's attempt of that number, also an ended one."""
        if job.attempt is not None and job.attempt.number == number:
            return job.attempt
        return next((one for one in await self._database.attempts(job.id) if one.number == number), None)

    async def check_open(self, job_id: str, attempt: int) -> None:
        """Raises Conflict unless the attempt is the job's newest and has not ended."""
        job = await self.find(job_id)
        if job.open_attempt(attempt) is None:
            raise Conflict(f"Attempt {attempt} of job {job.name} is not the current one, or has ended.")

    async def attempts(self, job: Job, after: int = 0) -> list[Attempt]:
        """The attempts with a number above `after`, oldest first. The newest alone costs no read."""
        newest = [job.attempt] if job.attempt is not None and job.attempt.number > after else []
        if job.attempt_number <= after + 1:
            return newest
        stored = await self._database.attempts(job.id)
        return [*(one for one in stored if after < one.number < job.attempt_number), *newest]

    async def goodput(self, since: float) -> tuple[Goodput, int]:
        """Where the time of all jobs submitted after `since` went, and how many these are."""
        total, count = Goodput(), 0
        after: tuple[float | None, int] | None = None
        while page := await self._database.jobs(JobQuery(created_after=since, after=after, limit=_PAGE_JOBS)):
            for job in page:
                total = total.plus(goodput(job, await self.attempts(job), self._clock.now()))
            count += len(page)
            after = (page[-1].created_at, page[-1].sequence)
        return total, count

    async def list(self, query: JobQuery) -> list[Job]:
        """The jobs that are asked for."""
        return await self._database.jobs(query)

    async def describe(self, job_id: str, labels: dict[str, str] | None, notes: str | None) -> Job:
        """Change labels and notes, whatever the job's status."""
        return await self.update(job_id, lambda job: transitions.describe(job, labels, notes))

    async def cancel(self, job_id: str, *, kill: bool = False) -> Job:
        """Ask for the job's end, with `kill` without any grace. Raises Conflict when it has ended."""
        return await self.update(job_id, lambda job: transitions.cancel(job, self._clock.now(), kill=kill))

    async def pause(self, job_id: str) -> Job:
        """Let the ranks save and end; the job stays queued until it is resumed. Raises Conflict when it has ended."""
        return await self.update(job_id, lambda job: transitions.pause(job, self._clock.now()))

    async def resume(self, job_id: str) -> Job:
        """Let a paused job be placed again. Raises Conflict when it is not paused."""
        return await self.update(job_id, lambda job: transitions.resume(job, self._clock.now()))

    async def delete(self, job: Job) -> None:
        """Delete an ended job; its key stays taken, its name is free.

        Raises Conflict while it has not ended, or another job needs a checkpoint of it.
        """
        async with self._locked(job.id):
            job = await self._database.job(job.id)
            if not job.status.terminal:
                raise Conflict(f"Job {job.name} is {job.status}; cancel it before you delete it.")
            users = sorted({user for one in job.checkpoints for user in one.users})
            if users:
                raise Conflict(
                    f"Job {users[0]} started from a checkpoint of job {job.name} and needs it until it has one of its "
                    "own, or ends. Wait for that, or cancel it."
                )
            if not await self._database.delete_job(job.model_copy(update={"version": job.version + 1})):
                raise Conflict(f"Job {job.name} was changed at the same moment; try again.")
            self.unsettled.forget(job.id)
            self._delivered.pop(job.id, None)
        for tell in self.on_delete:
            tell(job.id)
        await self._database.streams.delete(job.id)  # housekeeping does it if this server dies before

    async def update(self, job_id: str, transition: Callable[[Job], Job]) -> Job:
        """Apply a pure transition by compare-and-set, again from the newest version if another writer was first."""
        async with self._locked(job_id):
            known_newest = True
            while True:
                job = self._without_delivered(self.unsettled.find(job_id) or await self._database.job(job_id))
                refusal = None
                try:
                    changed = transition(job)
                except HeadwayError as error:
                    changed, refusal = job, error
                if changed is job:
                    if await self._is_newest(job):
                        if not known_newest:
                            self._announce(job)  # another server wrote it; nobody here has heard of that
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
        """Whether what this server knows is what is stored: a former leader that wakes up may have written since."""
        return not self._database.shared or (await self._database.job(job.id)).version == job.version

    async def note_delivered(self, delivered: Job) -> None:
        """What the job had to be delivered is delivered: an ended job forgets it now, others with their next change."""
        self._delivered[delivered.id] = delivered
        if delivered.status.terminal:
            with suppress(NotFound):  # it was deleted meanwhile
                await self.update(delivered.id, lambda job: job.model_copy() if job.status.terminal else job)
            self._delivered.pop(delivered.id, None)

    def _without_delivered(self, job: Job) -> Job:
        known = self._delivered.get(job.id)
        return job if known is None else transitions.delivered(job, known.event_count, known.wakeups)

    @asynccontextmanager
    async def _locked(self, job_id: str) -> AsyncIterator[None]:
        """Writers of this process take turns, so that they do not fail each other's compare-and-set."""
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


def _same_submission(known: Job, body_hash: str) -> Job:
    if known.body_hash != body_hash:
        raise IdempotencyKeyReused(
            f"Idempotency key {known.idempotency_key} was used for job {known.name} with another body. "
            "Send the same body, or a new key."
        )
    return known


def _slug(title: str) -> str:
    slug = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in title.lower())
    return slug.strip("-")[:40] or "job"
