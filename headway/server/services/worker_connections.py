"""The verbs of a worker's own connection: it carries wake-ups to the worker and reports to the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from headway.brokers.embedded import EmbeddedBroker
from headway.core.job import WakeUp
from headway.errors import Corrupt
from headway.server.access import Caller, require_as_worker
from headway.server.recorder import Recorder
from headway.server.report_senders import ReportSenders
from headway.server.services.workers import Workers


class WorkerConnections:
    """Workers keep this connection open with every broker, because its end shows at once that the worker's process
    ended.
    """

    def __init__(
        self,
        *,
        broker: EmbeddedBroker,
        senders: ReportSenders,
        recorder: Recorder,
        workers: Workers,
        running: Callable[[], bool],
    ) -> None:
        """`running`: whether the server is running. When it stops, the end of a connection says nothing about the
        worker.
        """
        self._broker = broker
        self._senders = senders
        self._recorder = recorder
        self._workers = workers
        self._running = running

    def open(self, caller: Caller, worker: str) -> AbstractAsyncContextManager[asyncio.Queue[WakeUp]]:
        """The connection of a worker, with the wake-ups to send over it. Raises NotFound, NotAllowed."""
        require_as_worker(caller, worker)
        return self._opened(worker)

    @asynccontextmanager
    async def _opened(self, worker: str) -> AsyncIterator[asyncio.Queue[WakeUp]]:
        async with self._broker.attached(worker) as wakeups:
            yield wakeups
        if self._running():
            await self._workers.connection_closed(worker)

    async def receive(self, worker: str, body: bytes) -> None:
        """Take a report from the worker's connection. A report that the worker may not send is put aside."""
        try:
            self._senders.check(worker, body)
        except Corrupt as error:
            await self._recorder.put_aside(body, error)
            return
        await self._broker.receive_report(body)
