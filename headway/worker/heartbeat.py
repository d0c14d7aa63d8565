"""The worker's heartbeat: reports that it is alive and its assignments; the answer lists those it should have."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from headway.core.protocol import Heartbeat
from headway.errors import HeadwayError, WorkerLost
from headway.worker.assignment import RunningAssignment
from headway.worker.assignments import Assignments
from headway.worker.load import read_load
from headway.worker.phase import StopRequest
from headway.worker.session import Session

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5


class HeartbeatLoop:
    """Sends the heartbeats of one session, and acts on the answers."""

    def __init__(
        self,
        session: Session,
        assignments: Assignments,
        *,
        due: asyncio.Event,
        stopped: asyncio.Event,
        on_release: Callable[[], None] | None = None,
    ) -> None:
        """`due` triggers the next heartbeat at once. `stopped`: the worker shuts down and tells the server."""
        self._session = session
        self._assignments = assignments
        self._due = due
        self._stopped = stopped
        self._on_release = on_release
        self._last_answer = -1
        self._reached_at = time.monotonic()

    async def run(self) -> None:
        """Send heartbeats until the server has declared the worker lost. Raises WorkerLost."""
        counter = 0
        while True:
            held = self._assignments.held()
            self._due.clear()
            try:
                await self._beat(counter, held)
            except WorkerLost:
                raise
            except HeadwayError as error:
                await self._unreached(error)
            except Exception:
                _log.exception("A defect while acting on the server's answer; the worker continues.")
            counter += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(self._session.timeouts.heartbeat_seconds):
                    await self._due.wait()

    async def _beat(self, counter: int, held: list[RunningAssignment]) -> None:
        heartbeat = Heartbeat(
            counter=counter,
            last_answer=self._last_answer,
            preparing=tuple((one.key.job, one.key.attempt) for one in held if one.phase.busy),
            streams=self._session.outbox.keys(),
            load=read_load(),
            leaving=self._stopped.is_set(),
            steps={one.key.job: one.logged_step for one in held if one.logged_step is not None},
        )
        # A lost heartbeat must leave time for others within the lease.
        patience_seconds = self._session.timeouts.lease_seconds / 4
        answer = await self._session.connection.heartbeat(heartbeat, patience_seconds)
        self._last_answer = answer.counter
        self._reached_at = time.monotonic()
        await self._assignments.follow(self._session, answer, held)
        if answer.released and self._on_release is not None:
            self._on_release()

    async def _unreached(self, error: HeadwayError) -> None:
        timeouts = self._session.timeouts
        away_seconds = time.monotonic() - self._reached_at
        if away_seconds > timeouts.orphan_timeout_seconds and self._assignments.any():
            _log.error("No server for %.0f s; ending the ranks. %s", away_seconds, error)
            await self._assignments.end_all(StopRequest(timeouts.stop_grace_seconds))
        if away_seconds > timeouts.orphan_timeout_seconds and self._on_release is not None:
            raise error
        await asyncio.sleep(min(_RETRY_SECONDS, timeouts.heartbeat_seconds))
