"""The shutdown of a worker: its ranks save and end, and its remaining reports are sent."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from headway.core.protocol import Timeouts
from headway.errors import HeadwayError
from headway.worker.assignments import Assignments
from headway.worker.connection import Connection
from headway.worker.outbox import Outbox
from headway.worker.phase import StopRequest

_LAST_REPORTS_SECONDS = 5.0
_LOOK_SECONDS = 0.1


async def shut_down(
    assignments: Assignments,
    outbox: Outbox,
    connection: Connection,
    timeouts: Timeouts,
    heartbeat_due: asyncio.Event,
) -> None:
    """End the ranks, and wait a moment until the last reports are committed. The next start sends the rest."""
    heartbeat_due.set()
    grace_seconds = timeouts.save_grace_seconds
    await assignments.end_all(StopRequest(grace_seconds, store_seconds=grace_seconds, worker_stops=True))
    deadline = time.monotonic() + _LAST_REPORTS_SECONDS
    while outbox.keys() and time.monotonic() < deadline:
        heartbeat_due.set()
        await asyncio.sleep(_LOOK_SECONDS)
    if not outbox.keys():
        with suppress(HeadwayError):  # there may be no server
            await connection.leave()
