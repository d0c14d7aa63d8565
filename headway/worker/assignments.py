"""The assignments of a worker. The server tells it to start, wake and stop them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from math import isfinite
from typing import Any

from headway.brokers.base import WorkerBroker
from headway.core.protocol import AssignmentKey, HeartbeatAnswer, OpenAssignment, Timeouts
from headway.core.status import AssignmentState
from headway.errors import HeadwayError
from headway.worker.assignment import RunningAssignment
from headway.worker.attempt_files import finish_stream, remove_attempt
from headway.worker.phase import Phase, StopRequest
from headway.worker.session import Session
from headway.worker.spool import SpooledStream, stream_folder

_log = logging.getLogger(__name__)
_END_SECONDS = 30.0
"""Extra time after the grace time, for assignments to end their processes and report that."""


class Assignments:
    """The assignments that run here, and ended ones whose reports are not all committed."""

    def __init__(self, heartbeat_due: asyncio.Event) -> None:
        self._heartbeat_due = heartbeat_due
        self._running: dict[tuple[str, int], RunningAssignment] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asides: set[asyncio.Task[None]] = set()

    def any(self) -> bool:
        """Whether there are any."""
        return bool(self._running)

    def held(self) -> list[RunningAssignment]:
        """Those that the server knows as claimed, and that have not ended."""
        return [one for one in self._running.values() if one.phase.held]

    async def receive_wakeups(self, broker: WorkerBroker, session: Session) -> None:
        """Start or wake the assignments that the broker's wake-ups name, until the connection ends."""
        while True:
            wakeup = await broker.wakeup()
            running = self._running.get((wakeup.job, wakeup.attempt))
            if running is None:
                self._start(session, wakeup.job, wakeup.attempt)
            elif running.phase is not Phase.ENDED:
                running.wake()
                self._heartbeat_due.set()

    async def follow(self, session: Session, answer: HeartbeatAnswer, held: list[RunningAssignment]) -> None:
        """Follow the server's list: start new assignments, wake or stop changed ones, end those that are not listed.

        `held`: the assignments that the heartbeat named.
        """
        for committed in answer.committed:
            if session.outbox.committed(committed):
                self._forget_unless_running(session, committed.stream)
        listed = {(one.job, one.attempt): one for one in answer.assignments}
        for key, assignment in listed.items():
            running = self._running.get(key)
            if assignment.state is AssignmentState.STOPPING:
                if running is None:
                    _release_unknown(session, session.key(*key))
                elif assignment.stacks:
                    await running.stop_with_stacks(_stop_request(assignment, session.timeouts))
                else:
                    await running.stop(_stop_request(assignment, session.timeouts))
            elif running is None:
                self._start(session, *key)
            elif assignment.ready:
                running.wake()
            if running is not None:
                running.watched(assignment.watched)
            if running is not None and assignment.finished:
                running.all_finished()
        for inquiry in answer.inquiries:
            asked = self._running.get((inquiry.job, inquiry.attempt))
            if asked is not None and asked.phase is not Phase.ENDED:
                self._do_aside(asked.inquire(inquiry))
        for running in held:
            if (running.key.job, running.key.attempt) not in listed:
                await running.stop(StopRequest(0.0, store_seconds=0.0))

    async def end_all(self, request: StopRequest) -> None:
        """End all ranks. Returns when their assignments have ended, or have exceeded all their time limits."""
        running = [one for one in self._running.values() if one.phase is not Phase.ENDED]
        await asyncio.gather(*(one.stop(request) for one in running))
        if not self._tasks:
            return
        store_seconds = request.store_seconds if isfinite(request.store_seconds) else 0.0
        _, late = await asyncio.wait(self._tasks, timeout=request.grace_seconds + store_seconds + _END_SECONDS)
        if late:
            _log.error("%d assignments do not end. Their processes are killed.", len(late))
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=_END_SECONDS)

    def _start(self, session: Session, job: str, attempt: int) -> None:
        running = self._running[job, attempt] = RunningAssignment(session, job, attempt)
        task = asyncio.create_task(self._run(running))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, running: RunningAssignment) -> None:
        try:
            await running.run()
        except HeadwayError as error:
            _log.error("Attempt %d of job %s: %s", running.key.attempt, running.key.job, error)
        except Exception:
            _log.exception("A defect in attempt %d of job %s", running.key.attempt, running.key.job)
        finally:
            if not running.session.outbox.sends(running.key):
                self._forget_unless_running(running.session, running.key)

    def _forget_unless_running(self, session: Session, key: AssignmentKey) -> None:
        """The server accepts no more reports of an assignment. Once it has ended, its files are not needed."""
        running = self._running.get((key.job, key.attempt))
        if running is None or running.phase is Phase.ENDED:
            self._running.pop((key.job, key.attempt), None)
            self._do_aside(asyncio.to_thread(remove_attempt, session.home, key))

    def _do_aside(self, aside: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the background. It may fail."""

        async def do() -> None:
            try:
                await aside
            except Exception as error:
                _log.warning("An inquiry was not answered, or files were not deleted: %s", error)

        task = asyncio.create_task(do())
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)


def _stop_request(assignment: OpenAssignment, timeouts: Timeouts) -> StopRequest:
    if assignment.kill:
        return StopRequest(0.0, store_seconds=0.0)
    return StopRequest(timeouts.save_grace_seconds if assignment.saves else timeouts.stop_grace_seconds)


def _release_unknown(session: Session, key: AssignmentKey) -> None:
    """The server expects ranks that this worker never started: report that they have ended."""
    if not session.outbox.sends(key):
        stream = SpooledStream(stream_folder(session.home, key), key)
        finish_stream(session.home, stream, session.outbox.counters)
        session.outbox.add(stream)
