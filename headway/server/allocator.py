"""Gets and gives back the allocations of one engine's jobs, and hears what the engine observes of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Hashable

from headway.core import allocation_transitions as transitions
from headway.core.allocation import (
    Allocation,
    AllocationState,
    Observation,
    Over,
    SeatEnded,
    SeatState,
    SeatUp,
    Waiting,
    WaitingCause,
)
from headway.core.job import Job
from headway.core.status import JobStatus
from headway.engines.base import AllocatingEngine, AllocationRequest
from headway.errors import HeadwayError, NotFound
from headway.server.clock import Clock
from headway.server.services.jobs import Jobs
from headway.server.services.queue import Queue
from headway.server.services.workers import Workers
from headway.server.tokens import Tokens, for_allocation

_log = logging.getLogger(__name__)
_LONGEST_RETRY_SECONDS = 60.0
_FIRST_REST_SECONDS, _LONGEST_REST_SECONDS = 15.0, 1800.0
_FORGET_SECONDS = 2 * _LONGEST_REST_SECONDS
_FULL = (WaitingCause.ROOM, WaitingCause.QUOTA)


class Allocator:
    """The leader's loop for one engine. It looks when a job has changed or the engine said something; it does not poll.

    Everything it decides by is stored with the jobs, so that the next leader continues where this one stopped. What it
    keeps itself are waits, and what it has asked the engine since it started: asking again does no harm.
    """

    def __init__(
        self,
        engine: AllocatingEngine,
        *,
        timeout_seconds: float,
        clock: Clock,
        tokens: Tokens,
        jobs: Jobs,
        queue: Queue,
        workers: Workers,
    ) -> None:
        """`timeout_seconds`: how long an allocation may hold some of its seats while there is no room for the rest."""
        self.engine = engine
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._tokens = tokens
        self._jobs = jobs
        self._queue = queue
        self._workers = workers
        self._asked: set[str] = set()
        self._released: set[str] = set()
        self._deleted: set[str] = set()
        self._waits: dict[Hashable, tuple[float, int]] = {}
        self._since: dict[Hashable, float] = {}
        self._kinds: dict[str, str] = {}
        self._behind: dict[str, str] = {}
        self._woken = asyncio.Event()

    def job_changed(self, job: Job) -> None:
        """Look at the jobs of this engine."""
        if job.spec.engine == self.engine.name:
            self._woken.set()

    def job_deleted(self, job: Job) -> None:
        """Release what a deleted job still had."""
        if job.spec.engine == self.engine.name:
            held = (job.allocation.id,) if job.allocation is not None else ()
            self._deleted.update(held, job.releasing)
            self._woken.set()

    def sentence(self, job: Job) -> str:
        """What a queued job waits for."""
        held = job.allocation
        if held is not None and held.sentence:
            return held.sentence
        if held is not None:
            up = len(held.workers)
            return f"Waiting for engine {self.engine.name}: {up} of {len(held.seats)} workers are there."
        if job.id in self._behind:
            return f"Waiting for room at engine {self.engine.name}, behind job {self._behind[job.id]}."
        return f"Waiting for engine {self.engine.name}."

    async def run(self) -> None:
        """Adopt what exists, then keep the allocations as the jobs need them, for ever."""
        await self._adopt()
        observing = asyncio.create_task(self._observe())
        try:
            while not observing.done():
                self._woken.clear()
                try:
                    await self.look()
                except HeadwayError as error:
                    _log.error("Allocations of engine %s wait: %s", self.engine.name, error)
                    self._waits["look"] = (self._clock.monotonic() + 1.0, 1)
                await self._wait(observing)
            observing.result()
        finally:
            observing.cancel()
            await asyncio.gather(observing, return_exceptions=True)

    async def _adopt(self) -> None:
        failures = 0
        while True:
            owned = [self._request_of(job, job.allocation) for job in self._mine() if job.allocation is not None]
            try:
                return await self.engine.adopt(owned)
            except HeadwayError as error:
                failures += 1
                _log.error("Engine %s cannot be reached: %s", self.engine.name, error)
                for job in self._mine():
                    await self._say(job, str(error))
                await asyncio.sleep(_retry_seconds(failures))

    async def _observe(self) -> None:
        async for observation in self.engine.observe():
            with contextlib.suppress(NotFound):  # the job was deleted
                await self.hear(observation)
            self._woken.set()

    async def _wait(self, observing: asyncio.Task[None]) -> None:
        """Until something changed, or the next wait is over."""
        now = self._clock.monotonic()
        ends = [at for at, _ in self._waits.values() if at > now]
        ends += [at + self._timeout_seconds for at in self._since.values()]
        seconds = max(0.0, min(ends) - now) if ends else None
        woken = asyncio.create_task(self._woken.wait())
        try:
            await asyncio.wait({woken, observing}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()

    async def hear(self, observation: Observation) -> None:
        """Note what the engine observed. Raises NotFound."""
        now, job_id = self._clock.now(), transitions.job_of(observation.allocation)
        match observation:
            case Waiting():
                await self._jobs.update(job_id, lambda job: transitions.note_waiting(job, observation))
            case SeatUp():
                await self._jobs.update(job_id, lambda job: transitions.note_seat_start(job, observation, now))
            case SeatEnded():
                job = await self._jobs.update(job_id, lambda job: transitions.note_seat_end(job, observation, now))
                worker = _worker_of(job, observation)
                if observation.certain and worker is not None:
                    await self._workers.lose(worker, observation.sentence)
            case Over():
                held = (await self._jobs.by_id(job_id)).allocation
                await self._jobs.update(job_id, lambda job: transitions.over(job, observation, now))
                if held is not None and held.id == observation.allocation:
                    self._asked.discard(held.id)
                    self._rest(("job", job_id), 1.0, _LONGEST_RETRY_SECONDS)
                    for worker in held.workers:
                        await self._workers.lose(worker, observation.sentence or "its allocation is gone")

    async def look(self) -> None:
        """Ask the engine for what the jobs need, and give back what they do not need."""
        now = self._clock.monotonic()
        self._waits = {key: wait for key, wait in self._waits.items() if wait[0] > now - _FORGET_SECONDS}
        await self._release()
        for job in self._mine():
            if job.allocation is not None:
                await self._keep(job, job.allocation)
        await self._part_rivals()
        await self._request_new()

    async def _release(self) -> None:
        for job in self._mine():
            if transitions.gives_back(job):
                job = await self._give_back(job.id, transitions.gives_back)
            for allocation in job.releasing:
                await self._release_one(allocation)
        for allocation in list(self._deleted):
            if await self._release_one(allocation):
                self._deleted.discard(allocation)
        self._released &= {one for job in self._mine() for one in job.releasing}

    async def _release_one(self, allocation: str) -> bool:
        if allocation in self._released:
            return True
        if not await self._ask(("release", allocation), lambda: self.engine.release(allocation)):
            return False
        self._asked.discard(allocation)
        self._released.add(allocation)
        return True

    async def _give_back(self, job_id: str, when: Callable[[Job], bool], because: str = "") -> Job:
        now = self._clock.now()
        return await self._jobs.update(
            job_id, lambda job: transitions.give_back(job, now, because) if when(job) else job
        )

    async def _keep(self, job: Job, held: Allocation) -> None:
        """See that the engine knows the allocation, and starts again what has ended of it."""
        if held.id not in self._asked:
            request = self._request_of(job, held)
            if not await self._ask(("request", held.id), lambda: self.engine.request(request), job):
                return
            self._asked.add(held.id)
        ended = [number for number, seat in enumerate(held.seats) if seat.state is SeatState.ENDED]
        if ended and not self.engine.abilities.replaces_seats:
            await self._give_back(job.id, lambda job: job.status is JobStatus.QUEUED and _is(job, held))
            return
        for number in ended if not (job.hold or job.cancel_requested) else ():
            await self._replace(job, held, number)

    async def _replace(self, job: Job, held: Allocation, number: int) -> None:
        """Have a seat started again: at once, or after a while if it did not start before."""
        seat, now = held.seats[number], self._clock.now()
        if not self._rested(("seat", held.id, number), seat.failures):
            return
        key = ("replace", held.id, number)
        if await self._ask(key, lambda: self.engine.replace(held.id, number, seat.start), job):
            await self._jobs.update(job.id, lambda job: transitions.seat_asked_again(job, held.id, number, now))

    async def _part_rivals(self) -> None:
        """Let allocations that keep each other from being complete give way to the first of them, and then wait longer.

        One that holds seats for too long while there is no room for the rest gives them back, too.
        """
        if self.engine.abilities.whole_gangs:
            return
        places = {gang.job: place for place, gang in enumerate(self._queue.gangs())}
        stuck = [job for job in self._mine() if job.id in places and _holds_part(job)]
        stuck.sort(key=lambda job: places[job.id])
        now = self._clock.monotonic()
        self._since = {job.id: self._since.get(job.id, now) for job in stuck}
        for number, job in enumerate(stuck):
            if number or now - self._since[job.id] > self._timeout_seconds:
                self._rest(("job", job.id), _FIRST_REST_SECONDS, _LONGEST_REST_SECONDS)
                await self._give_back(job.id, _holds_part, "there was no room for all its workers")
                del self._since[job.id]
        if any(job.allocation is None for job in self._mine()):
            await self._release()

    async def _request_new(self) -> None:
        mine = {job.id: job for job in self._mine()}
        waiting: dict[str, str] = {}
        behind: dict[str, str] = {}
        for gang in self._queue.gangs():
            if gang.engine != self.engine.name:
                continue
            kind = await self._kind(gang.job)
            held = mine[gang.job].allocation if gang.job in mine else None
            if held is not None:
                if held.state is AllocationState.REQUESTED and held.cause in _FULL:
                    waiting.setdefault(kind, gang.name)
            elif kind in waiting:
                behind[gang.job] = waiting[kind]
            elif not self._waits_for(("job", gang.job)):
                await self._request(gang.job)
        self._behind = behind
        self._kinds = {gang.job: self._kinds[gang.job] for gang in self._queue.gangs() if gang.job in self._kinds}

    async def _request(self, job_id: str) -> None:
        now = self._clock.now()
        with contextlib.suppress(NotFound):  # it was deleted
            job = await self._jobs.update(job_id, lambda job: transitions.request_allocation(job, now))
            if job.allocation is not None:
                await self._keep(job, job.allocation)

    async def _kind(self, job_id: str) -> str:
        """Which machines a queued job competes for."""
        if job_id not in self._kinds:
            with contextlib.suppress(NotFound):
                self._kinds[job_id] = self.engine.competes((await self._jobs.by_id(job_id)).spec)
        return self._kinds.get(job_id, "")

    def _mine(self) -> list[Job]:
        return [job for job in self._jobs.unsettled.allocated() if job.spec.engine == self.engine.name]

    def _request_of(self, job: Job, held: Allocation) -> AllocationRequest:
        return AllocationRequest(
            id=held.id,
            job=job.id,
            job_name=job.name,
            project=job.project,
            spec=job.spec,
            seats=len(held.seats),
            slots_per_seat=held.slots_per_seat,
            token=self._tokens.make(for_allocation(held.id), made_at=held.requested_at),
        )

    async def _say(self, job: Job, sentence: str) -> None:
        if job.allocation is not None:
            said = Waiting(job.allocation.id, WaitingCause.ENGINE, sentence)
            await self._jobs.update(job.id, lambda job: transitions.note_waiting(job, said))

    async def _ask(self, key: Hashable, asking: Callable[[], Awaitable[None]], job: Job | None = None) -> bool:
        """Ask the engine, unless it failed a moment ago; whether it took the order in. The job tells why it did not."""
        if self._waits_for(key):
            return False
        try:
            await asking()
        except HeadwayError as error:
            self._rest(key, 1.0, _LONGEST_RETRY_SECONDS)
            _log.warning("Engine %s: %s", self.engine.name, error)
            if job is not None:
                await self._say(job, str(error))
            return False
        self._waits.pop(key, None)
        return True

    def _waits_for(self, key: Hashable) -> bool:
        return key in self._waits and self._clock.monotonic() < self._waits[key][0]

    def _rest(self, key: Hashable, first_seconds: float, longest_seconds: float) -> None:
        """Wait with something: longer each time."""
        times = self._waits[key][1] if key in self._waits else 0
        seconds = min(longest_seconds, first_seconds * 2.0 ** min(times, 30))
        self._waits[key] = (self._clock.monotonic() + seconds, times + 1)

    def _rested(self, key: Hashable, failures: int) -> bool:
        """Whether a seat that did not start is to be started again: at once the first time, later after a while."""
        if failures == 0:
            self._waits.pop(key, None)
            return True
        if key not in self._waits or self._waits[key][1] != failures:
            self._waits[key] = (self._clock.monotonic() + _retry_seconds(failures), failures)
        return not self._waits_for(key)


def _retry_seconds(failures: int) -> float:
    return float(min(_LONGEST_RETRY_SECONDS, 2.0 ** min(failures - 1, 30)))


def _is(job: Job, held: Allocation) -> bool:
    return job.allocation is not None and job.allocation.id == held.id


def _holds_part(job: Job) -> bool:
    """Whether a queued job has some of its workers, and there is no room for the others."""
    held = job.allocation
    waits = held is not None and held.state is AllocationState.REQUESTED and held.cause in _FULL
    return waits and job.status is JobStatus.QUEUED and held is not None and bool(held.workers)


def _worker_of(job: Job, ended: SeatEnded) -> str | None:
    """The worker of the start of a seat that ended."""
    held = job.allocation
    if held is None or held.id != ended.allocation or ended.seat >= len(held.seats):
        return None
    seat = held.seats[ended.seat]
    return seat.worker if seat.start == ended.start else None
