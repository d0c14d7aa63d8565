"""Answers a worker's heartbeat with the assignments that it should have, and how far its reports are committed."""

from __future__ import annotations

from collections.abc import Callable

from headway.core.protocol import AssignmentKey, CommittedStream, Heartbeat, HeartbeatAnswer
from headway.server.access import Caller, require_as_worker
from headway.server.leases import Leases
from headway.server.recorder import Recorder
from headway.server.services.assignments import Assignments
from headway.server.services.inquiries import Inquiries
from headway.server.services.telemetry import Telemetry
from headway.server.services.workers import Workers
from headway.server.worker_registry import WorkerRegistry


class Heartbeats:
    """Each heartbeat renews its worker's lease. The answer comes from memory, once the worker's streams are loaded."""

    def __init__(
        self,
        *,
        registry: WorkerRegistry,
        workers: Workers,
        leases: Leases,
        telemetry: Telemetry,
        assignments: Assignments,
        inquiries: Inquiries,
        recorder: Recorder,
        leads: Callable[[], bool],
    ) -> None:
        """`leads`: whether this server certainly leads. Only then may workers delete reports that are committed."""
        self._registry = registry
        self._workers = workers
        self._leases = leases
        self._telemetry = telemetry
        self._assignments = assignments
        self._inquiries = inquiries
        self._recorder = recorder
        self._leads = leads

    async def answer(self, caller: Caller, worker_id: str, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Answer a heartbeat. Raises NotFound, NotAllowed, WorkerLost."""
        require_as_worker(caller, worker_id)
        self._workers.check_ready(worker_id)
        self._leases.heartbeat(worker_id, heartbeat.last_answer, frozenset(heartbeat.preparing))
        if heartbeat.leaving:
            self._workers.stop_placing_on(worker_id)
        self._telemetry.heard(worker_id, heartbeat)
        with self._leases.answering(worker_id):
            committed = [await self._committed(worker_id, stream) for stream in heartbeat.streams]
        return HeartbeatAnswer(
            counter=heartbeat.counter,
            assignments=self._assignments.open_of(worker_id),
            committed=tuple(committed) if self._leads() else (),
            inquiries=self._inquiries.of_worker(worker_id),
            released=self._workers.released(worker_id),
        )

    async def _committed(self, worker_id: str, stream: AssignmentKey) -> CommittedStream:
        """How far a stream is committed. A stream of another worker counts as closed."""
        if stream.worker not in self._registry.lives_of(worker_id):
            return CommittedStream(stream=stream, through=None)
        through = await self._recorder.committed(stream)
        return CommittedStream(stream=stream, through=through, unreadable=self._recorder.unreadable(stream))
