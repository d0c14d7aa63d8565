"""The verbs of workers: list, register, drain, restore, leave; declaring one lost; and which ones can take jobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import NamedTuple

from headway.brokers.envelope import report_key
from headway.core import transitions
from headway.core.actor import Actor
from headway.core.allocation import FLEET
from headway.core.allocation_transitions import check_seat, job_of, take_seat, vacate_seat
from headway.core.job import Job
from headway.core.protocol import Registered, Registration, SeatStart
from headway.core.size import counted
from headway.core.worker import TakenSeat, Worker, WorkerLoad, WorkerState
from headway.core.worker_faults import restored
from headway.engines.base import AllocatingEngine, Engine
from headway.errors import AllocationReleased, Conflict, HeadwayError, InvalidInput, NotFound, WorkerLost
from headway.server.access import Action, Caller, actor_of, require_as_worker, require_in_installation, sees_project
from headway.server.clock import Clock
from headway.server.counters import ServerCounters
from headway.server.ids import draw_id
from headway.server.leases import Leases
from headway.server.probe import process_ended
from headway.server.recorder import Recorder
from headway.server.services.access_tokens import AccessTokens
from headway.server.services.jobs import Jobs
from headway.server.services.telemetry import Telemetry
from headway.server.tokens import Tokens, for_worker
from headway.server.worker_registry import WorkerRegistry
from headway.settings import Settings

_log = logging.getLogger(__name__)


class WorkerNow(NamedTuple):
    """A worker and its current state.

    `seat`: its seat, if it was made for a job that the caller sees. `ranks`: how many ranks of
    each job it runs, by the job's name.
    """

    worker: Worker
    seat: TakenSeat | None
    used_slots: int
    ranks: dict[str, int]
    load: WorkerLoad | None
    silent_seconds: float | None


class Workers:
    """The known workers. A lost worker stays lost: its next start registers a new one."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        tokens: Tokens,
        jobs: Jobs,
        registry: WorkerRegistry,
        engines: Mapping[str, Engine],
        leases: Leases,
        recorder: Recorder,
        telemetry: Telemetry,
        counters: ServerCounters,
        access_tokens: AccessTokens,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._tokens = tokens
        self._jobs = jobs
        self._registry = registry
        self._engines = engines
        self._leases = leases
        self._recorder = recorder
        self._telemetry = telemetry
        self._access_tokens = access_tokens
        self._counters = counters
        self._losing: set[str] = set()
        self._leaving: set[str] = set()
        self._seating = asyncio.Lock()
        """One registration for a seat at a time: one that is sent again waits for the answer to the first."""
        self.on_change: Sequence[Callable[[], None]] = ()
        """Listeners to changes of workers or their slots, in the order of their calls."""

    async def open(self) -> None:
        """Give each known worker a full term to come back. End the ranks of those that were declared lost."""
        ready = {worker.id for worker in self._registry.workers()}
        for worker_id in ready:
            self._leases.watch(worker_id)
        for job in self._jobs.unsettled.active():
            for assignment in job.attempt.assignments if job.attempt else ():
                if assignment.worker not in ready:
                    await self._lose_ranks(assignment.worker)
        for job in self._jobs.unsettled.allocated():
            for worker_id in job.allocation.workers if job.allocation is not None else ():
                if worker_id not in ready:
                    await self._vacate_seat(job.id, worker_id)

    def list_connected(self, caller: Caller) -> list[WorkerNow]:
        """The workers that are connected, by name. Raises NotAllowed."""
        require_in_installation(caller, Action.FLEET_READ)
        return [self._now(caller, worker) for worker in self._registry.workers()]

    def _now(self, caller: Caller, worker: Worker) -> WorkerNow:
        """The worker as a user sees it: of jobs of projects that the user does not see, the slots are counted."""
        held_slots = 0
        ranks: dict[str, int] = {}
        for held in self._jobs.unsettled.held_by(worker.id):
            held_slots += held.assignment.rank_count
            if sees_project(caller, held.job.project):
                ranks[held.job.name] = ranks.get(held.job.name, 0) + held.assignment.rank_count
        load, silent_seconds = self._telemetry.load(worker.id), self._leases.silent_seconds(worker.id)
        return WorkerNow(worker, self._seen_seat(caller, worker), held_slots, ranks, load, silent_seconds)

    def _seen_seat(self, caller: Caller, worker: Worker) -> TakenSeat | None:
        job = self._jobs.unsettled.find(worker.seat.job) if worker.seat is not None else None
        return worker.seat if job is not None and sees_project(caller, job.project) else None

    async def register(self, caller: Caller, registration: Registration) -> Registered:
        """Register a worker under a new id and declare its former id lost. Raises NotAllowed, NotAuthenticated."""
        require_in_installation(caller, Action.WORKER_REGISTER)
        await self._access_tokens.count_join(caller)
        async with self._seating if registration.seat is not None else nullcontext():
            return await self._register(caller, registration)

    async def _register(self, caller: Caller, registration: Registration) -> Registered:
        seat = await self._seat(caller, registration)
        wanted = registration.seat
        if seat is not None and wanted is not None and (known := self._registered_before(seat, wanted.call)):
            return self._registered(known)
        former = None
        if registration.former_token:
            former = self._tokens.read(registration.former_token).caller.worker
        if former is not None and seat is None:
            await self.lose(former, "it was restarted")
        taken = {worker.name for worker in self._registry.workers()}
        name = registration.worker.name
        suffix = 2
        while name in taken:
            name = f"{registration.worker.name[:56]}-{suffix}"
            suffix += 1
        worker_id = draw_id("w-")
        description = registration.worker.model_copy(update={"name": name})
        worker = await self._registry.register(worker_id, description, former, self._clock.now(), seat)
        self._leases.watch(worker_id)
        if seat is not None and wanted is not None:
            await self._take_seat(worker_id, seat.allocation, seat.job, wanted)
            if former is not None:  # not before, or the engine would be asked to start the seat again
                await self.lose(former, "it was restarted")
        _log.info("Worker %s registered with %s.", name, counted(description.slots, "slot"))
        self._changed()
        return self._registered(worker)

    def _registered(self, worker: Worker) -> Registered:
        return Registered(
            id=worker.id,
            token=self._tokens.make(for_worker(worker.id)),
            name=worker.name,
            timeouts=self._settings.timeouts,
            broker=f"/api/v1/workers/{worker.id}/broker",
            assignments=_external(self._settings.effective_wakeups_url),
            reports=_external(self._settings.effective_reports_url),
            report_key=report_key(self._tokens.secret, worker.id),
        )

    def _registered_before(self, seat: TakenSeat, call: str) -> Worker | None:
        """The worker that came by this registration already: its answer was lost, or came too late."""
        job = self._jobs.unsettled.find(seat.job)
        held = job.allocation.seats[seat.number] if job is not None and job.allocation is not None else None
        if held is None or held.worker is None or held.call != call:
            return None
        return self._registry.worker(held.worker)

    async def _seat(self, caller: Caller, registration: Registration) -> TakenSeat | None:
        """The seat that the worker may have; None for a worker of the fleet.

        Raises AllocationReleased, SeatTaken, and InvalidInput where token and registration do not belong together.
        """
        wanted, allocation = registration.seat, caller.allocation
        if (wanted is None) != (allocation is None):
            raise InvalidInput("A seat is for workers of an allocation, which join with the allocation's token.")
        if wanted is None or allocation is None:
            return None
        try:
            job = await self._jobs.by_id(job_of(allocation))
        except NotFound as error:
            raise AllocationReleased(f"The job of allocation {allocation} does not exist any more.") from error
        check_seat(job, allocation, wanted.number, wanted.start)
        return TakenSeat(job=job.id, allocation=allocation, number=wanted.number)

    async def _take_seat(self, worker_id: str, allocation: str, job_id: str, wanted: SeatStart) -> None:
        """Give the seat to the worker. The worker that had it is lost: the newest start of a seat counts."""
        now = self._clock.now()
        former: str | None = None

        def take(job: Job) -> Job:
            nonlocal former
            taken = take_seat(job, allocation, wanted, worker_id, now)
            former = job.allocation.seats[wanted.number].worker if job.allocation is not None else None
            return taken

        try:
            await self._jobs.update(job_id, take)
        except HeadwayError:
            await self._registry.lose(worker_id, "it got no seat", now)
            raise
        if former is not None and former != worker_id:
            await self.lose(former, "a newer worker has its seat")

    def released(self, worker_id: str) -> bool:
        """Whether the worker's allocation was given back, so that the worker is to end."""
        seat = self._registry.worker(worker_id).seat
        return seat is not None and not self._has(worker_id, seat)

    def _has(self, worker_id: str, seat: TakenSeat) -> bool:
        """Whether the seat is the worker's. A job with an allocation is always in memory."""
        job = self._jobs.unsettled.find(seat.job)
        held = job.allocation if job is not None else None
        return held is not None and held.id == seat.allocation and held.seat_of(worker_id) == seat.number

    async def drain(self, caller: Caller, name: str, *, draining: bool) -> WorkerNow:
        """Move a worker's jobs elsewhere and give it no more jobs, or let it take jobs again. Raises NotFound."""
        require_in_installation(caller, Action.FLEET_WRITE)
        worker = self._connected(name)
        if worker.seat is not None:
            raise Conflict(f"Worker {worker.name} was made for one job. Pause or cancel that job instead.")
        worker_id = worker.id
        await self._registry.drain(worker_id, draining=draining)
        now = self._clock.now()
        if draining:
            for held in self._jobs.unsettled.held_by(worker_id):
                await self._jobs.update(
                    held.job.id, lambda job: transitions.drain_worker(job, worker_id, now), actor_of(caller)
                )
        self._changed()
        return self._now(caller, self._registry.worker(worker_id))

    async def restore(self, caller: Caller, name: str) -> WorkerNow:
        """End a worker's quarantine, so that it takes jobs again. Raises NotFound."""
        require_in_installation(caller, Action.FLEET_WRITE)
        worker = await self._registry.judge(self._connected(name).id, restored)
        self._changed()
        return self._now(caller, worker)

    def _connected(self, name: str) -> Worker:
        found = [worker for worker in self._registry.workers() if name in (worker.name, worker.id)]
        if not found:
            raise NotFound(f"Worker {name} is not connected. `headway workers` lists those that are.")
        return found[0]

    def placeable(self) -> list[Worker]:
        """The workers that a job can be placed on: those that are not being shut down."""
        return [worker for worker in self._registry.fleet() if worker.id not in self._leaving]

    def placeable_of(self, workers: Sequence[str]) -> list[Worker]:
        """Those of an allocation's workers that the job can be placed on."""
        known = (self._registry.worker(worker) for worker in workers if worker not in self._leaving)
        return [worker for worker in known if worker.state is not WorkerState.LOST]

    def stop_placing_on(self, worker_id: str) -> None:
        """Give the worker no more jobs, because it is shutting down."""
        self._leaving.add(worker_id)

    async def leave(self, caller: Caller, worker_id: str) -> None:
        """The worker has ended its ranks and sent all reports; its process is about to end. Raises WorkerLost."""
        require_as_worker(caller, worker_id)
        self.check_ready(worker_id)
        await self.lose(worker_id, "it was shut down", actor_of(caller))

    async def connection_closed(self, worker_id: str) -> None:
        """Declare the worker lost now if its process has ended. Otherwise its lease decides."""
        worker = self._registry.worker(worker_id)
        if worker.state is WorkerState.LOST or not self._reaches(worker):
            return
        if await process_ended(worker):
            await self.lose(worker_id, "its process ended")

    async def lose(self, worker_id: str, because: str, actor: Actor | None = None) -> None:
        """Declare a worker lost, permanently. First its reports are recorded, then its attempts end.

        `actor`: who asked for it, as a worker that shuts down does. Otherwise it is logged as a warning.
        """
        if worker_id in self._losing:
            return
        self._losing.add(worker_id)
        try:
            await self._recorder.catch_up()
            if await self._registry.lose(worker_id, because, self._clock.now()):
                name = self._registry.worker(worker_id).name
                if actor is not None:
                    _log.info("Worker %s has shut down.", name)
                else:
                    self._counters.lost_workers += 1
                    _log.warning("Worker %s is lost: %s.", name, because)
            await self._lose_ranks(worker_id, actor)
            self._leases.forget(worker_id)
            self._telemetry.forget(worker_id)
            self._leaving.discard(worker_id)
        except NotFound:
            return
        finally:
            self._losing.discard(worker_id)
        self._changed()

    async def _lose_ranks(self, worker_id: str, actor: Actor | None = None) -> None:
        now = self._clock.now()
        for held in self._jobs.unsettled.held_by(worker_id):
            await self._jobs.update(held.job.id, lambda job: transitions.lose_worker(job, worker_id, now), actor)
        seat = self._seat_of(worker_id)
        if seat is not None and self._has(worker_id, seat):
            await self._vacate_seat(seat.job, worker_id)

    async def _vacate_seat(self, job_id: str, worker_id: str) -> None:
        now = self._clock.now()
        await self._jobs.update(job_id, lambda job: vacate_seat(job, worker_id, now))

    def _seat_of(self, worker_id: str) -> TakenSeat | None:
        try:
            return self._registry.worker(worker_id).seat
        except NotFound:
            return None

    def _reaches(self, worker: Worker) -> bool:
        """Whether the server can open a connection to the worker, so that a refused one says something."""
        job = self._jobs.unsettled.find(worker.seat.job) if worker.seat is not None else None
        engine = self._engines.get(job.spec.engine or FLEET) if job is not None else None
        return not isinstance(engine, AllocatingEngine) or engine.abilities.server_reaches_workers

    def check_ready(self, worker_id: str) -> None:
        """Raises WorkerLost for a worker that is unknown, lost, or being declared lost."""
        try:
            worker = self._registry.worker(worker_id)
        except NotFound as error:
            raise WorkerLost(f"Worker {worker_id} is not known. Register again.") from error
        if worker.state is WorkerState.LOST:
            raise WorkerLost(f"Worker {worker.name} was declared lost because {worker.lost_because}. Register again.")
        if worker_id in self._losing:
            raise WorkerLost(f"Worker {worker.name} is being declared lost. Register again.")

    def _changed(self) -> None:
        for tell in self.on_change:
            tell()


def _external(url: str) -> str | None:
    """The broker's URL for workers; None for the embedded broker, which they reach over their own connection."""
    return None if url.startswith("embedded:") else url
