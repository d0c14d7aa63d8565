"""The verbs of workers: list, register, drain, restore, leave; declaring one lost; and which ones can take jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from headway.brokers.envelope import report_key
from headway.core import transitions
from headway.core.actor import Actor
from headway.core.faults import restored
from headway.core.protocol import Registered, Registration
from headway.core.size import counted
from headway.core.worker import Worker, WorkerLoad, WorkerState
from headway.errors import NotFound, WorkerLost
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
    """A worker and its current state. `ranks`: how many ranks of each job it runs, by the job's name."""

    worker: Worker
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
        self._leases = leases
        self._recorder = recorder
        self._telemetry = telemetry
        self._access_tokens = access_tokens
        self._counters = counters
        self._losing: set[str] = set()
        self._leaving: set[str] = set()
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
        return WorkerNow(
            worker, held_slots, ranks, self._telemetry.load(worker.id), self._leases.silent_seconds(worker.id)
        )

    async def register(self, caller: Caller, registration: Registration) -> Registered:
        """Register a worker under a new id and declare its former id lost. Raises NotAllowed, NotAuthenticated."""
        require_in_installation(caller, Action.WORKER_REGISTER)
        await self._access_tokens.count_join(caller)
        former = None
        if registration.former_token:
            former = self._tokens.read(registration.former_token).caller.worker
        if former is not None:
            await self.lose(former, "it was restarted")
        taken = {worker.name for worker in self._registry.workers()}
        name = registration.worker.name
        suffix = 2
        while name in taken:
            name = f"{registration.worker.name[:56]}-{suffix}"
            suffix += 1
        worker_id = draw_id("w-")
        description = registration.worker.model_copy(update={"name": name})
        await self._registry.register(worker_id, description, former, self._clock.now())
        self._leases.watch(worker_id)
        _log.info("Worker %s registered with %s.", name, counted(description.slots, "slot"))
        self._changed()
        return Registered(
            id=worker_id,
            token=self._tokens.make(for_worker(worker_id)),
            name=name,
            timeouts=self._settings.timeouts,
            broker=f"/api/v1/workers/{worker_id}/broker",
            assignments=_external(self._settings.effective_wakeups_url),
            reports=_external(self._settings.effective_reports_url),
            report_key=report_key(self._tokens.secret, worker_id),
        )

    async def drain(self, caller: Caller, name: str, *, draining: bool) -> WorkerNow:
        """Move a worker's jobs elsewhere and give it no more jobs, or let it take jobs again. Raises NotFound."""
        require_in_installation(caller, Action.FLEET_WRITE)
        worker_id = self._connected(name).id
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
        """The workers that can take jobs: those that are not shutting down."""
        return [worker for worker in self._registry.workers() if worker.id not in self._leaving]

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
        if worker.state is not WorkerState.LOST and await process_ended(worker):
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
