"""Places queued jobs, and watches the deadline of every assignment."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Hashable, Mapping

from headway.core import transitions
from headway.core.allocation import FLEET
from headway.core.attempt import Assignment
from headway.core.job import Job
from headway.core.job_change import open_assignment
from headway.core.placement import Gang, Share, place_queue
from headway.core.retry import requeue_delay_seconds
from headway.core.status import AssignmentState, JobStatus
from headway.database.base import Database
from headway.errors import HeadwayError, NotFound
from headway.server.clock import Clock
from headway.server.leases import Leases
from headway.server.quarantine import Quarantine
from headway.server.recorder import Recorder
from headway.server.services.jobs import Jobs
from headway.server.services.queue import Queue
from headway.server.services.workers import Workers
from headway.settings import Settings

_log = logging.getLogger(__name__)
TICK_SECONDS = 1.0
"""How often deadlines are checked, or every quarter of the lease if that is shorter."""
_AVOID_SECONDS = 60.0
"""How long a job waits for workers other than those where it failed."""


class Scheduler:
    """A deadline is an age on the monotonic clock since this server first saw a state.

    A server that starts, was paused, or was without its database grants everyone a full term: messages that would meet
    a deadline may have been lost.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        database: Database,
        jobs: Jobs,
        queue: Queue,
        workers: Workers,
        leases: Leases,
        recorder: Recorder,
        quarantine: Quarantine,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._database = database
        self._jobs = jobs
        self._queue = queue
        self._workers = workers
        self._leases = leases
        self._recorder = recorder
        self._quarantine = quarantine
        self._since: dict[Hashable, float] = {}
        self._ran_since: dict[tuple[str, float], float] = {}
        self._delayed_until: dict[str, float] = {}
        self._elastic_since: dict[str, float] = {}
        self._avoiding_since: dict[tuple[str, frozenset[str]], float] = {}
        self._tick_seconds = min(TICK_SECONDS, settings.lease_seconds / 4)
        self._ticked_at = clock.monotonic()
        self._woken = asyncio.Event()
        self._woken.set()

    @property
    def waits(self) -> bool:
        """Whether a queued job may become placeable just because time passes."""
        return bool(self._delayed_until or self._elastic_since or self._avoiding_since)

    def wake(self) -> None:
        """Check the queue now."""
        self._woken.set()

    def job_changed(self, job: Job) -> None:
        """Check the queue now. A job that needs another attempt may have to wait a little."""
        if job.status is not JobStatus.QUEUED or job.hold:
            self._delayed_until.pop(job.id, None)
        elif job.attempt is not None and job.id not in self._delayed_until:
            in_row = max(job.failures_in_row, len(job.faulty_workers))
            delay = requeue_delay_seconds(job.attempt.reason, in_row, random.random())  # noqa: S311
            self._delayed_until[job.id] = self._clock.monotonic() + delay
        self._woken.set()

    async def run(self) -> None:
        """Schedule forever: at once when something changes, and at each tick for the deadlines."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._tick_seconds):
                    await self._woken.wait()
            woken = self._woken.is_set() or self.waits or self._quarantine.holds
            self._woken.clear()
            try:
                await self.tick()
                if woken:
                    await self.schedule()
            except HeadwayError as error:
                _log.error("Scheduling waits: %s", error)
                self._grant_full_terms()
                self._woken.set()
                await asyncio.sleep(self._tick_seconds)

    async def schedule(self) -> None:
        """Place the jobs that fit, in order of priority, then age."""
        await self._quarantine.judge()
        used = self._jobs.unsettled.used_slots()
        await self._place_on_allocations(used)
        workers, tried = self._quarantine.with_tries(self._workers.placeable())
        if not any(worker.slots > used.get(worker.id, 0) for worker in workers):
            return
        now = self._clock.monotonic()
        gangs = [gang for gang in self._queue.gangs() if gang.engine == FLEET]
        queue = [self._patient(gang, now) for gang in gangs if not self._delayed(gang.job)]
        self._avoiding_since = {key: since for key, since in self._avoiding_since.items() if key[0] in self._queue}
        elastic = [gang.job for gang in queue if gang.shape.minimum_world_size is not None]
        self._elastic_since = {job_id: self._elastic_since.get(job_id, now) for job_id in elastic}
        shrinkable = {
            job_id for job_id, since in self._elastic_since.items() if now - since >= self._settings.shrink_wait_seconds
        }
        for gang, shares in place_queue(queue, workers, used, shrinkable, tried):
            self._quarantine.tried(tried & {share.worker for share in shares})
            await self._place(gang, shares)

    async def _place_on_allocations(self, used: Mapping[str, int]) -> None:
        """Place each job whose allocation is up on the workers of the allocation, and on no others."""
        for gang in self._queue.gangs():
            if gang.seats is None or self._delayed(gang.job):
                continue
            for placed, shares in place_queue([gang], self._workers.placeable_of(gang.seats), used):
                await self._place(placed, shares)

    def _patient(self, gang: Gang, now: float) -> Gang:
        """The gang to place. After a while it also accepts the workers that it avoided."""
        if not gang.avoids:
            return gang
        since = self._avoiding_since.setdefault((gang.job, gang.avoids), now)
        return gang if now - since < _AVOID_SECONDS else gang._replace(avoids=frozenset())

    async def _place(self, gang: Gang, shares: list[Share]) -> None:
        try:
            if gang.retried:
                job = await self._jobs.by_id(gang.job)
                if job.attempt is not None:
                    await self._database.put_attempt(job.id, job.attempt)
            await self._jobs.update(gang.job, self._placed(shares))
        except NotFound:
            _log.info("Job %s was deleted before it could be placed.", gang.name)

    def _placed(self, shares: list[Share]) -> Callable[[Job], Job]:
        now = self._clock.now()
        return lambda job: transitions.place(job, shares, now)

    def _expired(self, number: int, worker: str) -> Callable[[Job], Job]:
        now = self._clock.now()
        return lambda job: transitions.expire(job, number, worker, now)

    def _delayed(self, job_id: str) -> bool:
        until = self._delayed_until.get(job_id)
        if until is None:
            return False
        if self._clock.monotonic() < until:
            return True
        del self._delayed_until[job_id]
        return False

    async def tick(self) -> None:
        """End overdue workers, assignments and settling streams. After a long gap, this server was paused."""
        now = self._clock.monotonic()
        if now - self._ticked_at > self._settings.lease_seconds / 2:
            self._grant_full_terms()
        self._ticked_at = now
        if self._leases.silent():
            await self._database.check()
        for worker in self._leases.silent():  # again: some heartbeats may have come during a wait for the database
            await self._workers.lose(worker, f"it was silent for {self._settings.lease_seconds:g} s")
        seen: set[Hashable] = set()
        for job in self._jobs.unsettled.active():
            await self._watch_assignments(job, seen)
            await self._watch_time_limit(job)
        for job in self._jobs.unsettled.settling():
            for number in job.settling:
                if self._age(("settle", job.id, number), seen) > self._settings.settle_seconds:
                    await self._recorder.settle_streams(job.id, number)
        self._since = {key: since for key, since in self._since.items() if key in seen}
        self._ran_since = {key: since for key, since in self._ran_since.items() if self._jobs.unsettled.find(key[0])}

    def _grant_full_terms(self) -> None:
        self._leases.grant_all()
        self._since.clear()

    async def _watch_assignments(self, job: Job, seen: set[Hashable]) -> None:
        attempt = job.attempt
        if attempt is None or attempt.ended_at is not None:
            return
        for assignment in attempt.assignments:
            limit = self._limit_seconds(job, attempt.number, assignment.worker, assignment.state)
            # The limit is part of the key: when preparing ends, the shorter limit starts to count.
            key = (job.id, attempt.number, assignment.worker, assignment.state, limit)
            if limit is None or self._age(key, seen) <= limit:
                continue
            await self._recorder.catch_up()  # the awaited report may be in the broker
            if not self._still(job.id, attempt.number, assignment):
                continue
            if assignment.state is AssignmentState.STOPPING:
                await self._workers.lose(assignment.worker, f"it did not end its ranks within {limit:g} s")
            else:
                await self._jobs.update(job.id, self._expired(attempt.number, assignment.worker))

    def _still(self, job_id: str, number: int, assignment: Assignment) -> bool:
        """Whether an assignment is still in the same state."""
        job = self._jobs.unsettled.find(job_id)
        now = open_assignment(job, number, assignment.worker) if job else None
        return now is not None and now.state is assignment.state

    async def _watch_time_limit(self, job: Job) -> None:
        """Wall time counts only until this server first saw the job; after that monotonic time counts."""
        limit = job.spec.timeout_seconds
        if limit is None or job.started_at is None or job.status.terminal or job.hold:
            return
        key = (job.id, job.held_seconds)
        if key not in self._ran_since:
            before = max(0.0, self._clock.now() - job.started_at - job.held_seconds)
            self._ran_since[key] = self._clock.monotonic() - before
        if self._clock.monotonic() - self._ran_since[key] > limit:
            now = self._clock.now()
            await self._jobs.update(job.id, lambda job: transitions.time_out(job, now))

    def _limit_seconds(self, job: Job, number: int, worker: str, state: AssignmentState) -> float | None:
        match state:
            case AssignmentState.OFFERED:
                return self._settings.claim_timeout_seconds
            case AssignmentState.CLAIMED:
                prepares = self._leases.prepares(worker, job.id, number)
                gathers = job.attempt is not None and not job.attempt.all_claimed
                waits = prepares or gathers
                return self._settings.prepare_timeout_seconds if waits else self._settings.claim_timeout_seconds
            case AssignmentState.STOPPING:
                busy = self._leases.prepares(worker, job.id, number)
                saves = job.attempt is not None and job.attempt.reason is not None and job.attempt.reason.saves
                grace = self._settings.save_grace_seconds if saves else self._settings.stop_grace_seconds
                return self._settings.prepare_timeout_seconds if busy else self._settings.stop_timeout_seconds + grace
            case _:
                return None

    def _age(self, key: Hashable, seen: set[Hashable]) -> float:
        seen.add(key)
        now = self._clock.monotonic()
        return now - self._since.setdefault(key, now)
