"""Sends spooled reports through the broker, and repeats them until the server has committed them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from headway.brokers.base import WorkerBroker
from headway.core.protocol import AssignmentKey, CommittedStream
from headway.worker.counters import WorkerCounters
from headway.worker.spool import SpooledStream

_log = logging.getLogger(__name__)
_WINDOW_BYTES = 8 << 20
_RESEND_HEARTBEATS = 2
_RETRY_SECONDS = 0.2


class Outbox:
    """All streams that still have reports to send. At most a window of bytes is in transit at a time."""

    def __init__(self, heartbeat_now: Callable[[], None], counters: WorkerCounters) -> None:
        self._streams: dict[AssignmentKey, SpooledStream] = {}
        self.counters = counters
        self._heartbeat_now = heartbeat_now
        self._woken = asyncio.Event()
        self._unchanged: dict[AssignmentKey, tuple[int, int]] = {}

    def add(self, stream: SpooledStream) -> None:
        """Start to send the stream's reports."""
        self._streams[stream.key] = stream
        self.wake()

    def wake(self) -> None:
        """Note that there are reports to send."""
        self._woken.set()

    def keys(self) -> tuple[AssignmentKey, ...]:
        """The streams to ask the server about."""
        return tuple(self._streams)

    @property
    def unsent_reports(self) -> int:
        """How many reports the server has not committed yet."""
        return sum(len(stream.unsent) + len(stream.unacknowledged) for stream in self._streams.values())

    def sends(self, key: AssignmentKey) -> bool:
        """Whether the stream is known and not finished."""
        return key in self._streams

    def committed(self, committed: CommittedStream) -> bool:
        """Note how far the server has committed a stream, or that it accepts no more. True if no more is sent."""
        key, through = committed.stream, committed.through
        stream = self._streams.get(key)
        if stream is None:
            return False
        if through is None or (stream.ended and through >= stream.number):
            del self._streams[key]
            self._unchanged.pop(key, None)
            stream.remove()
            return True
        stream.cut(through)
        for number in committed.unreadable:
            self.counters.replaced_reports += stream.replace(number, "could not be read by the server")
        # A report that is not committed two heartbeats after it was sent was lost in transit.
        seen, times = self._unchanged.get(key, (-1, 0))
        times = times + 1 if seen == through and stream.unacknowledged else 0
        if times >= _RESEND_HEARTBEATS:
            self.counters.replaced_reports += stream.check(through + 1)  # all later reports wait for this one
            stream.resend(through)
            times = 0
        self._unchanged[key] = (through, times)
        self.wake()
        return False

    def restart(self) -> None:
        """The broker's connection is new: reports in transit may be lost."""
        for stream in self._streams.values():
            stream.resend(0)
        self.wake()

    async def run(self, broker: WorkerBroker, sealed: Callable[[bytes], bytes]) -> None:
        """Send until the connection ends; `sealed` puts a report into its envelope. Raises Unavailable."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            for stream in list(self._streams.values()):
                await self._send(stream, broker, sealed)

    async def _send(self, stream: SpooledStream, broker: WorkerBroker, sealed: Callable[[bytes], bytes]) -> None:
        while stream.unsent:
            if self._bytes_on_their_way() > _WINDOW_BYTES:
                self._heartbeat_now()
                return
            number = stream.unsent.pop(0)
            try:
                body = stream.read(number)
            except OSError as error:  # when the server asks for it again, it is replaced
                _log.error("Report %d of job %s cannot be read: %s", number, stream.key.job, error)
                stream.unacknowledged[number] = 0
                continue
            stream.unacknowledged[number] = len(body)  # also if the connection ends meanwhile: then it is sent again
            await broker.publish_report(sealed(body), stream.key.job)

    def _bytes_on_their_way(self) -> int:
        return sum(sum(stream.unacknowledged.values()) for stream in self._streams.values())
