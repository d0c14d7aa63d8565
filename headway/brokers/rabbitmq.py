"""RabbitMQ, by aio-pika: `amqp://user:password@host:5672/vhost`, or `amqps://...?cafile=/path/ca.pem`.

Each worker has a quorum queue for its wake-ups; one quorum queue has all reports. A message is acknowledged when it is
read, so RabbitMQ's `consumer_timeout` never expires. The query also takes `certfile` and `keyfile`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aiormq.exceptions import AMQPError

from headway.brokers.arrived_reports import ArrivedReports
from headway.brokers.base import DEAD_LETTERS, REPORTS, WAKEUPS, Broker, WorkerBroker
from headway.core.job import WakeUp
from headway.core.problem import Problem
from headway.errors import SettingInvalid, Unavailable
from headway.redaction import redacted

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 5.0
_PUBLISH_SECONDS = 10.0
_RETRY_SECONDS = 0.5
_WATCH_SECONDS = 5.0
_POSITION_SECONDS = 2.0
_BEACON = b"\0"
"""The start of a message that the server sends to itself. A report begins with the length of its sender's id."""
_PREFETCH = 256
_UNUSED_QUEUE_MILLISECONDS = 3_600_000
_DELIVERIES = 20
_ERRORS = (AMQPError, OSError, TimeoutError, asyncio.InvalidStateError, RuntimeError)
_QUORUM = {"x-queue-type": "quorum"}
_REPORTS_ARGUMENTS: dict[str, Any] = {
    **_QUORUM,
    "x-delivery-limit": _DELIVERIES,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": DEAD_LETTERS,
}
_WAKEUPS_ARGUMENTS: dict[str, Any] = {**_QUORUM, "x-expires": _UNUSED_QUEUE_MILLISECONDS, "x-max-length": 1_000}


class _Link:
    """A connection with one channel. It reconnects when the channel breaks or its consumer is cancelled."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None
        self._channel: Any = None
        self._acknowledging: set[asyncio.Task[None]] = set()
        self.broken = asyncio.Event()

    async def connect(self) -> Any:
        """The channel. Raises Unavailable."""
        if self._channel is not None and not self.broken.is_set():
            return self._channel
        await self.close()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                self._connection = await aio_pika.connect(self._url, timeout=_CONNECT_SECONDS)
                self._channel = await self._connection.channel(publisher_confirms=True)
                await self._channel.set_qos(prefetch_count=_PREFETCH)
                underlay = await self._channel.get_underlay_channel()
        except (*_ERRORS, ValueError) as error:
            await self.close()
            raise Unavailable(f"RabbitMQ cannot be reached: {error or type(error).__name__}.") from error
        self.broken.clear()
        broke = partial(self._broke, self._channel)
        self._channel.close_callbacks.add(broke)
        underlay.on_consumer_cancel_callbacks.add(broke)  # its queue was deleted
        return self._channel

    def _broke(self, channel: object, *_: object) -> None:
        if channel is self._channel:  # not an earlier channel
            self.broken.set()

    async def consume(self, name: str, arguments: dict[str, Any], received: Callable[[bytes], Awaitable[None]]) -> None:
        """Consume a queue, and create it if it does not exist. Raises Unavailable."""

        async def on_message(message: AbstractIncomingMessage) -> None:
            await received(message.body)
            acknowledging = asyncio.create_task(_acknowledge(message))
            self._acknowledging.add(acknowledging)
            acknowledging.add_done_callback(self._acknowledging.discard)

        channel = await self.connect()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await declare(channel)
                queue = await channel.declare_queue(name, durable=True, arguments=arguments)
                await queue.consume(on_message)
        except _ERRORS as error:
            self.broken.set()
            raise Unavailable(f"Queue {name} of RabbitMQ cannot be read: {error}") from error

    async def publish(self, name: str, body: bytes, *, mandatory: bool) -> None:
        """Publish to a queue and wait until RabbitMQ has it. Raises Unavailable."""
        channel = await self.connect()
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        try:
            async with asyncio.timeout(_PUBLISH_SECONDS):
                await channel.default_exchange.publish(message, routing_key=name, mandatory=mandatory)
        except _ERRORS as error:
            self.broken.set()
            raise Unavailable(f"RabbitMQ did not take a message: {error or type(error).__name__}.") from error

    async def close(self) -> None:
        """Send the acknowledgements of what was read, then close the connection, which drops those that wait."""
        if self._acknowledging:
            await asyncio.wait(self._acknowledging, timeout=_CONNECT_SECONDS)
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(*_ERRORS):
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await connection.close()
                    await asyncio.sleep(0)  # its callbacks are tasks, which must end with it


async def _acknowledge(message: AbstractIncomingMessage) -> None:
    with suppress(*_ERRORS):  # RabbitMQ delivers it again
        await message.ack()


async def declare(channel: Any) -> None:
    """Create the shared queues if they do not exist."""
    await channel.declare_queue(DEAD_LETTERS, durable=True, arguments=_QUORUM)
    await channel.declare_queue(REPORTS, durable=True, arguments=_REPORTS_ARGUMENTS)


class RabbitmqBroker(Broker):
    """The server's side."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._publishing, self._consuming = _Link(url), _Link(url)
        self._arrived = ArrivedReports(_PREFETCH)
        self._received = 0
        self._beacons: dict[bytes, asyncio.Event] = {}
        self._keeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        try:
            await self._consuming.consume(REPORTS, _REPORTS_ARGUMENTS, self._receive)
        except Unavailable as error:
            await self.close()
            raise SettingInvalid(f"The broker's URL is {redacted(self._url)}: {error}") from error
        self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self._consuming.close()
        await self._publishing.close()

    async def _keep(self) -> None:
        """Consume again after the connection, the channel or the queue was lost."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_SECONDS):
                    await self._consuming.broken.wait()
            if not self._consuming.broken.is_set() and await self._consumed():
                continue
            self._consuming.broken.set()
            try:
                await self._consuming.consume(REPORTS, _REPORTS_ARGUMENTS, self._receive)
                _log.info("Reports are read from RabbitMQ again.")
            except Unavailable as error:
                _log.error("%s", error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _consumed(self) -> bool:
        """Whether published messages reach this consumer.

        If a quorum queue is deleted and created again at once, RabbitMQ (seen with 3.10) assigns the former consumer to
        the new queue, and messages for it are lost.
        """
        if not self._arrived.empty:
            return True  # reports arrive, but the recorder is behind
        return await self._beacon_came(_WATCH_SECONDS)

    async def _beacon_came(self, seconds: float) -> bool:
        """Whether a message to this server passed through the queue, after all older messages."""
        body, came = _BEACON + secrets.token_bytes(8), asyncio.Event()
        self._beacons[body] = came
        try:
            async with asyncio.timeout(seconds):
                await self._publishing.publish(REPORTS, body, mandatory=True)
                await came.wait()
            return True
        except (Unavailable, TimeoutError):
            return False
        finally:
            del self._beacons[body]

    async def _receive(self, body: bytes) -> None:
        if body.startswith(_BEACON):
            if body in self._beacons:  # not a former server's message
                self._beacons[body].set()
            return
        self._received += 1
        await self._arrived.put(body)

    async def publish_wakeup(self, wakeup: WakeUp) -> None:
        try:
            body = wakeup.model_dump_json().encode()
            await self._publishing.publish(f"{WAKEUPS}.{wakeup.worker}", body, mandatory=False)
        except Unavailable as error:
            _log.warning("A wake-up waits for the next heartbeat: %s", error)

    async def reports(self, maximum: int) -> tuple[list[bytes], int]:
        return await self._arrived.take(maximum)

    @property
    def taken(self) -> int:
        return self._arrived.taken

    async def position(self) -> int:
        await self._beacon_came(_POSITION_SECONDS)
        return self._received

    async def dead_letter(self, body: bytes) -> None:
        try:
            await self._publishing.publish(DEAD_LETTERS, body, mandatory=False)
        except Unavailable as error:
            _log.error("A dead letter was dropped: %s", error)

    async def problems(self) -> list[Problem]:
        link = _Link(self._url)
        try:
            await declare(await link.connect())
            return []
        except _ERRORS as error:
            return [
                Problem(
                    f"RabbitMQ does not let its queues be declared: {error}",
                    "Give the user permission to configure, write and read headway.*, or delete its queues.",
                )
            ]
        finally:
            await link.close()


class RabbitmqWorkerBroker(WorkerBroker):
    """The worker's side."""

    def __init__(self, url: str, worker: str) -> None:
        self._worker = worker
        self._link = _Link(url)
        self._wakeups: asyncio.Queue[bytes] = asyncio.Queue()

    async def open(self) -> None:
        await self._link.consume(f"{WAKEUPS}.{self._worker}", _WAKEUPS_ARGUMENTS, self._wakeups.put)

    async def close(self) -> None:
        await self._link.close()

    async def wakeup(self) -> WakeUp:
        coming = asyncio.create_task(self._wakeups.get())
        broken = asyncio.create_task(self._link.broken.wait())
        try:
            await asyncio.wait({coming, broken}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                raise Unavailable("The connection to RabbitMQ is gone.")
            return WakeUp.model_validate_json(coming.result(), extra="ignore")
        finally:
            coming.cancel()
            broken.cancel()

    async def publish_report(self, body: bytes, job: str) -> None:
        if self._link.broken.is_set():
            raise Unavailable("The connection to RabbitMQ is gone.")
        await self._link.publish(REPORTS, body, mandatory=True)
