"""The shutdown of a worker: its ranks save and end, and its remaining reports are sent."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass

from headway.errors import HeadwayError
from headway.worker.assignments import Assignments
from headway.worker.connection import Connection
from headway.worker.outbox import Outbox
from headway.worker.phase import StopRequest

_log = logging.getLogger(__name__)
_LAST_REPORTS_SECONDS = 5.0
_LOOK_SECONDS = 0.1
_MARGIN_SECONDS = 1.0
"""For the process to end within its grace."""


@dataclass(frozen=True)
class LastWords:
    """What a worker does before it ends."""

    assignments: Assignments
    outbox: Outbox
    connection: Connection
    heartbeat_due: asyncio.Event

    async def shut_down(self, save_seconds: float) -> None:
        """End the ranks and give the last reports a moment to be committed. The next start sends what is left."""
        await self._end_ranks(save_seconds)
        await self._send_reports(_LAST_REPORTS_SECONDS)
        if not self.outbox.keys():
            await self._leave()

    async def end_seat(self, save_seconds: float, grace_seconds: float) -> None:
        """The same for a worker that has no next start: it uses all of its grace, and counts what is lost."""
        began_at = time.monotonic()
        reports_seconds = min(_LAST_REPORTS_SECONDS, grace_seconds / 2)
        await self._end_ranks(max(0.0, min(save_seconds, grace_seconds - reports_seconds - _MARGIN_SECONDS)))
        await self._send_reports(max(0.0, grace_seconds - _MARGIN_SECONDS - (time.monotonic() - began_at)))
        if lost := self.outbox.unsent_reports:
            _log.error("%d reports could not be sent before this worker had to end, and are lost.", lost)
        await self._leave()

    async def _end_ranks(self, save_seconds: float) -> None:
        self.heartbeat_due.set()
        await self.assignments.end_all(StopRequest(save_seconds, store_seconds=save_seconds, worker_stops=True))

    async def _send_reports(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.outbox.keys() and time.monotonic() < deadline:
            self.heartbeat_due.set()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _leave(self) -> None:
        with suppress(HeadwayError):  # without a server it cannot be told
            await self.connection.leave()
