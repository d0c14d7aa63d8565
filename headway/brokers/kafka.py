"""Kafka, by confluent-kafka's asyncio client: `kafka://user:password@host:9092,host:9092?tls=true&cafile=/path/ca.pem`.

With a user, SASL by `sasl=SCRAM-SHA-512` (the default) or `PLAIN`; `certfile` and `keyfile` name a client certificate.
Every worker reads wake-ups and the server reads reports, both without a consumer group: no reader is evicted because it
polls too rarely, and nothing is rebalanced. A reader begins at the end. Messages that it missed are sent again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # it does export it
from confluent_kafka.aio import AIOConsumer, AIOProducer

from headway.brokers.base import DEAD_LETTERS, REPORTS, WAKEUPS, Broker, WorkerBroker
from headway.core.job import WakeUp
from headway.core.problem import Problem
from headway.errors import SettingInvalid, Unavailable
from headway.redaction import redacted

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 10.0
_DELIVERY_MILLISECONDS = 15_000
_REPLICAS = 3
_POLL_SECONDS = 1.0
_GATHER_SECONDS = 0.005
_CONFIRM_SECONDS = 0.1
_RETRY_SECONDS = 0.2
_MAXIMUM_MESSAGE_BYTES = 20 << 20
_DAY_MILLISECONDS = 86_400_000
_TOPICS: dict[str, tuple[int, dict[str, str]]] = {
    WAKEUPS: (1, {"retention.ms": "600000"}),
    REPORTS: (6, {"retention.ms": str(_DAY_MILLISECONDS), "max.message.bytes": str(_MAXIMUM_MESSAGE_BYTES)}),
    DEAD_LETTERS: (1, {"retention.ms": str(7 * _DAY_MILLISECONDS), "max.message.bytes": str(_MAXIMUM_MESSAGE_BYTES)}),
}
"""Partitions and settings of each topic."""


def client_settings(url: str) -> dict[str, Any]:
    """The settings for librdkafka (https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md).

    Raises SettingInvalid for an unknown query parameter.
    """
    parts = urlsplit(url)
    credentials, _, servers = parts.netloc.rpartition("@")
    said = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    user, _, password = credentials.partition(":")
    tls = said.pop("tls", "true" if "cafile" in said or "certfile" in said else "false") == "true"
    settings: dict[str, Any] = {"bootstrap.servers": servers, "client.id": "headway", "log_level": 0}
    settings["security.protocol"] = f"{'SASL_' if user else ''}{'SSL' if tls else 'PLAINTEXT'}"
    mechanism = said.pop("sasl", "SCRAM-SHA-512")
    if user:
        settings |= {"sasl.username": unquote(user), "sasl.password": unquote(password), "sasl.mechanism": mechanism}
    names = {"cafile": "ssl.ca.location", "certfile": "ssl.certificate.location", "keyfile": "ssl.key.location"}
    settings |= {names[name]: said.pop(name) for name in list(said) if name in names}
    if said:
        raise SettingInvalid(f"{redacted(url)} has {', '.join(said)}, which is not a setting of a Kafka URL.")
    return settings


class _Reader:
    """Reads a topic, starting at its end."""

    def __init__(self, settings: dict[str, Any], topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._consumer: AIOConsumer | None = None
        self._next: dict[int, int] = {}

    async def open(self) -> None:
        """Find the topic's partitions and their ends. Raises KafkaException."""
        self._consumer = AIOConsumer(
            {
                **self._settings,
                "group.id": f"headway-{secrets.token_hex(6)}",  # librdkafka needs a group id; no group is joined
                "enable.auto.commit": False,
                "auto.offset.reset": "latest",
                "fetch.message.max.bytes": _MAXIMUM_MESSAGE_BYTES,
                "fetch.wait.max.ms": 50,
                "reconnect.backoff.max.ms": 1_000,
            }
        )
        metadata = await self._consumer.list_topics(self._topic, timeout=_CONNECT_SECONDS)
        for partition in metadata.topics[self._topic].partitions:
            self._next[partition] = await self._end(partition)
        await self._consumer.assign(
            [TopicPartition(self._topic, partition, offset) for partition, offset in self._next.items()]
        )

    async def _end(self, partition: int) -> int:
        assert self._consumer is not None
        place = TopicPartition(self._topic, partition)
        _, end = await self._consumer.get_watermark_offsets(place, timeout=_CONNECT_SECONDS)
        return int(end)

    async def read(self, maximum: int) -> list[bytes]:
        """Wait for messages and return up to `maximum`. Errors are only logged, because librdkafka recovers itself."""
        assert self._consumer is not None
        while True:
            messages = await self._consumer.consume(1, timeout=_POLL_SECONDS)
            if messages and maximum > 1:
                messages += await self._consumer.consume(maximum - 1, timeout=_GATHER_SECONDS)
            found = []
            for message in messages:
                if message.error():
                    if message.error().code() != KafkaError._PARTITION_EOF:
                        _log.warning("Kafka: %s", message.error())
                    continue
                self._next[message.partition()] = message.offset() + 1
                found.append(message.value() or b"")
            if found:
                return found

    @property
    def position(self) -> int:
        """The sum of the read positions of all partitions."""
        return sum(self._next.values())

    async def end(self) -> int:
        """The sum of the ends of all partitions now. Raises KafkaException."""
        return sum([await self._end(partition) for partition in self._next])

    async def close(self) -> None:
        """Stop reading."""
        if self._consumer is not None:
            await self._consumer.close()


async def _opened_reader(settings: dict[str, Any], topic: str) -> _Reader:
    """Retries, because a new topic has no leader for a moment. Raises KafkaException."""
    deadline = asyncio.get_running_loop().time() + _CONNECT_SECONDS
    while True:
        reader = _Reader(settings, topic)
        try:
            await reader.open()
            return reader
        except (KafkaException, KeyError) as error:
            await reader.close()
            if asyncio.get_running_loop().time() > deadline:
                raise KafkaException(f"topic {topic} cannot be read: {error}") from error
            await asyncio.sleep(_RETRY_SECONDS)


class _Writer:
    """An idempotent producer. A message is written once all in-sync replicas have it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._producer = AIOProducer(
            {
                **settings,
                "enable.idempotence": True,
                "acks": "all",
                "delivery.timeout.ms": _DELIVERY_MILLISECONDS,
                "message.max.bytes": _MAXIMUM_MESSAGE_BYTES,
                "linger.ms": 0,
                "reconnect.backoff.max.ms": 1_000,
            },
            batch_size=1,
        )

    async def write(self, topic: str, key: str, body: bytes) -> None:
        """Raises Unavailable if Kafka does not confirm it."""
        try:
            written = await self._producer.produce(topic, value=body, key=key.encode())
            written.add_done_callback(_heard)
            while not written.done():
                await self._producer.poll(_CONFIRM_SECONDS)
            await written
        except (KafkaException, BufferError, RuntimeError) as error:
            raise Unavailable(f"Kafka did not take a message: {error}") from error

    async def close(self) -> None:
        """Drop unconfirmed messages. Their senders still have them."""
        await self._producer.purge()
        await self._producer.close()


def _heard(written: asyncio.Future[Any]) -> None:
    """Retrieve the result of a write whose caller may have stopped waiting, so that asyncio logs no error."""
    if not written.cancelled():
        written.exception()


class _Connected:
    """The clients of both sides while they are open."""

    _reader: _Reader | None = None
    _writer: _Writer | None = None

    async def close(self) -> None:
        """Let go of connections."""
        if self._writer is not None:
            await self._writer.close()
        if self._reader is not None:
            await self._reader.close()
        self._reader = self._writer = None


class KafkaBroker(_Connected, Broker):
    """The server's side."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        try:
            settings = client_settings(self._url)
            await asyncio.to_thread(_make_topics, settings)
            self._reader = await _opened_reader(settings, REPORTS)
            self._writer = _Writer(settings)
        except (KafkaException, Unavailable) as error:
            await self.close()
            raise SettingInvalid(f"The broker's URL is {redacted(self._url)}: Kafka: {error}") from error

    async def publish_wakeup(self, wakeup: WakeUp) -> None:
        try:
            await self._written(WAKEUPS, wakeup.worker, wakeup.model_dump_json().encode())
        except Unavailable as error:
            _log.warning("A wake-up waits for the next heartbeat: %s", error)

    async def reports(self, maximum: int) -> tuple[list[bytes], int]:
        assert self._reader is not None
        return await self._reader.read(maximum), self._reader.position

    @property
    def taken(self) -> int:
        assert self._reader is not None
        return self._reader.position

    async def position(self) -> int:
        assert self._reader is not None
        try:
            return await self._reader.end()
        except KafkaException:
            return self._reader.position

    async def dead_letter(self, body: bytes) -> None:
        try:
            await self._written(DEAD_LETTERS, "", body)
        except Unavailable as error:
            _log.error("A dead letter was dropped: %s", error)

    async def _written(self, topic: str, key: str, body: bytes) -> None:
        if self._writer is None:
            raise Unavailable("Kafka is not connected.")
        await self._writer.write(topic, key, body)

    async def problems(self) -> list[Problem]:
        try:
            return await asyncio.to_thread(_replication_problems, client_settings(self._url))
        except KafkaException as error:
            raise Unavailable(f"Kafka cannot be reached: {error}") from error


class KafkaWorkerBroker(_Connected, WorkerBroker):
    """The worker's side."""

    def __init__(self, url: str, worker: str) -> None:
        self._settings = client_settings(url)
        self._worker = worker

    async def open(self) -> None:
        try:
            self._reader = await _opened_reader(self._settings, WAKEUPS)
            self._writer = _Writer(self._settings)
        except KafkaException as error:
            raise Unavailable(f"Kafka cannot be reached: {error}") from error

    async def wakeup(self) -> WakeUp:
        if self._reader is None:
            raise Unavailable("Kafka is not connected.")
        while True:
            for body in await self._reader.read(1):
                wakeup = WakeUp.model_validate_json(body, extra="ignore")
                if wakeup.worker == self._worker:
                    return wakeup

    async def publish_report(self, body: bytes, job: str) -> None:
        if self._writer is None:
            raise Unavailable("Kafka is not connected.")
        await self._writer.write(REPORTS, job, body)


def _make_topics(settings: dict[str, Any]) -> None:
    """Create missing topics, with one replica per broker, at most three."""
    client = AdminClient(settings)
    metadata = client.list_topics(timeout=_CONNECT_SECONDS)
    replicas = min(_REPLICAS, len(metadata.brokers))
    missing = [
        NewTopic(name, num_partitions=partitions, replication_factor=replicas, config=config)
        for name, (partitions, config) in _TOPICS.items()
        if name not in metadata.topics
    ]
    for made in client.create_topics(missing, request_timeout=_CONNECT_SECONDS).values() if missing else ():
        try:
            made.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another server created it first
                raise


def _replication_problems(settings: dict[str, Any]) -> list[Problem]:
    metadata = AdminClient(settings).list_topics(timeout=_CONNECT_SECONDS)
    found = []
    for name in _TOPICS:
        topic = metadata.topics.get(name)
        fewest = min((len(one.replicas) for one in topic.partitions.values()), default=0) if topic else None
        if fewest is not None and fewest < min(_REPLICAS, len(metadata.brokers)):
            found.append(
                Problem(
                    f"Topic {name} has {fewest} replicas on {len(metadata.brokers)} brokers.",
                    "Raise them with kafka-reassign-partitions, or delete the topic while nothing runs.",
                )
            )
    return found
