"""What every broker promises, tested with real ones; and what brokers promise that are separate servers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from headway.backend_registry import backend
from headway.brokers import kafka
from headway.brokers.base import DEAD_LETTERS, REPORTS, Broker, WorkerBroker
from headway.brokers.envelope import report_key, seal, unseal
from headway.core.job import WakeUp
from headway.errors import Corrupt, SettingInvalid, Unavailable
from tests.conformance.backends import run, schemes
from tests.conformance.broker_sides import Sides, a_body, embedded_sides, external_sides
from tests.services import broker_url

pytestmark = pytest.mark.anyio
EXTERNAL = [scheme for scheme in schemes("broker") if scheme != "embedded"]


@pytest.fixture(params=EXTERNAL)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """A broker that is a separate server, so it outlives ours."""
    async with run("broker", request.param, tmp_path) as url:
        yield url


@pytest.fixture(params=schemes("broker"))
async def sides(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sides]:
    async with (
        run("broker", request.param, tmp_path) as url,
        embedded_sides(tmp_path) if request.param == "embedded" else external_sides(url) as sides,
    ):
        yield sides


@pytest.fixture
def broker(sides: Sides) -> Broker:
    return sides.broker


@pytest.fixture
async def worker(sides: Sides) -> AsyncIterator[WorkerBroker]:
    worker = sides.worker("w")
    await worker.open()
    yield worker
    await worker.close()


def a_worker(url: str, name: str = "w") -> WorkerBroker:
    worker: WorkerBroker = backend("worker_broker", url)(url, name)
    return worker


async def taken(broker: Broker, count: int) -> tuple[list[bytes], int]:
    found: list[bytes] = []
    position = 0
    async with asyncio.timeout(30):
        while len(found) < count:
            bodies, position = await broker.reports(64)
            found += bodies
    return found, position


async def test_a_wakeup_reaches_the_worker_it_names_and_no_other(
    sides: Sides, broker: Broker, worker: WorkerBroker
) -> None:
    other = sides.worker("other")
    await other.open()
    waiting = asyncio.create_task(other.wakeup())
    for attempt in (1, 2):
        wakeup = WakeUp(worker="w", job="j", attempt=attempt)
        await broker.publish_wakeup(wakeup)
        async with asyncio.timeout(10):
            assert await worker.wakeup() == wakeup
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await broker.publish_wakeup(WakeUp(worker="nobody", job="j", attempt=1))  # it is lost
    await other.close()


async def test_reports_of_a_job_come_once_in_order_with_a_position(broker: Broker, worker: WorkerBroker) -> None:
    before = await broker.position()
    bodies = [a_body(number) for number in range(1, 201)]
    for body in bodies:
        await worker.publish_report(body, "j")
    found, position = await taken(broker, 200)
    assert found == bodies
    end = await broker.position()
    assert end >= before + 200
    assert position >= end, "at this position, everything that was in the broker has been read"
    assert broker.taken == position


async def test_large_reports_come_whole(broker: Broker, worker: WorkerBroker) -> None:
    body = a_body(1, secrets.token_hex(6 << 20))
    assert len(body) > 6 << 20
    await worker.publish_report(body, "j")
    assert (await taken(broker, 1))[0] == [body]


async def test_a_new_server_continues_reading(url: str) -> None:
    await check_a_new_server_continues(url)


async def check_a_new_server_continues(url: str) -> None:
    """Given a server that is replaced, the next one reads later reports; lost reports are sent again."""
    broker: Broker = backend("broker", url)(url)
    await broker.open()
    worker = a_worker(url)
    await worker.open()
    await worker.publish_report(b"first", "j")
    assert (await taken(broker, 1))[0] == [b"first"]
    await broker.close()
    successor: Broker = backend("broker", url)(url)
    await successor.open()
    await worker.publish_report(b"second", "j")
    assert (await taken(successor, 1))[0] == [b"second"]
    await worker.close()
    await successor.close()


async def test_what_a_server_read_from_rabbitmq_does_not_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given acknowledgements that wait to be sent, when the server stops, then the next one gets later reports only."""
    import aio_pika

    acknowledge = aio_pika.IncomingMessage.ack

    async def late(message: Any, multiple: bool = False) -> None:
        await asyncio.sleep(0.1)
        await acknowledge(message, multiple)

    monkeypatch.setattr(aio_pika.IncomingMessage, "ack", late)
    async with broker_url("rabbitmq") as url:
        await check_a_new_server_continues(url)


async def test_dead_letters_do_not_come_back(broker: Broker, worker: WorkerBroker) -> None:
    await broker.dead_letter(b"poison")
    await worker.publish_report(a_body(1), "j")
    assert (await taken(broker, 1))[0] == [a_body(1)]


async def test_a_healthy_broker_has_no_problems(broker: Broker) -> None:
    assert await broker.problems() == []


@pytest.mark.parametrize("url", ["amqp://someone:hunter2@127.0.0.1:9/", "kafka://someone:hunter2@127.0.0.1:9"])
async def test_a_broker_that_cannot_be_reached_is_named_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if url.startswith("kafka"):
        monkeypatch.setattr("headway.brokers.kafka._CONNECT_SECONDS", 1.0)
    broker: Broker = backend("broker", url)(url)
    with pytest.raises(SettingInvalid, match=r"someone:\*\*\*@127.0.0.1:9") as refused:
        await broker.open()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("kind", ["rabbitmq-tls", "kafka-tls-scram", "kafka-tls-plain"])
async def test_tls_and_sasl(kind: str) -> None:
    async with broker_url(kind) as url:
        broker: Broker = backend("broker", url)(url)
        await broker.open()
        worker = a_worker(url)
        await worker.open()
        await worker.publish_report(b"sealed", "j")
        assert (await taken(broker, 1))[0] == [b"sealed"]
        await worker.close()
        await broker.close()


@pytest.mark.parametrize("kind", ["rabbitmq-tls", "kafka-tls-scram"])
async def test_a_server_of_another_authority_is_refused(
    kind: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.services import another_authority

    monkeypatch.setattr("headway.brokers.kafka._CONNECT_SECONDS", 2.0)
    async with broker_url(kind) as url:
        wrong = url.replace(url.partition("cafile=")[2].partition("&")[0], str(another_authority(tmp_path)))
        broker: Broker = backend("broker", wrong)(wrong)
        with pytest.raises(SettingInvalid):
            await broker.open()


async def test_a_queue_deleted_under_its_consumer_is_created_again() -> None:
    """Given RabbitMQ, when the reports' queue is deleted while it is read, it is created again and reports come."""
    import aio_pika

    async with broker_url("rabbitmq") as url:
        broker: Broker = backend("broker", url)(url)
        await broker.open()
        connection = await aio_pika.connect(url)
        channel = await connection.channel()
        await channel.queue_delete(REPORTS)
        worker = a_worker(url)
        taking = asyncio.create_task(taken(broker, 1))
        await worker.open()
        while not taking.done():  # as a worker's spool does: reports in the deleted queue are sent again
            try:
                await worker.publish_report(b"after", "j")
            except Unavailable:
                with suppress(Unavailable):
                    await worker.open()
            await asyncio.wait({taking}, timeout=0.5)
        assert taking.result()[0][0] == b"after"
        dead = await channel.declare_queue(DEAD_LETTERS, passive=True)
        await broker.dead_letter(b"poison")
        assert (await dead.get(timeout=5)).body == b"poison"
        for one in (connection, worker, broker):
            await one.close()
        await asyncio.sleep(0.1)  # aio-pika runs its close callbacks as tasks that it does not await


async def test_a_worker_hears_that_rabbitmq_is_gone() -> None:
    async with broker_url("rabbitmq") as url:
        broker: Broker = backend("broker", url)(url)
        await broker.open()
        worker = a_worker(url)
        await worker.open()
        waiting = asyncio.create_task(worker.wakeup())
        await asyncio.sleep(0)
        await worker._link._connection.transport.connection.close()  # type: ignore[attr-defined]
        with pytest.raises(Unavailable):
            await asyncio.wait_for(waiting, 10)
        await worker.close()
        await broker.close()


def test_a_report_is_accepted_only_from_its_sender() -> None:
    key = report_key("secret", "w-1")
    sealed = seal(b"body", "w-1", key)
    assert unseal(sealed, lambda worker: report_key("secret", worker)) == ("w-1", b"body")
    for forged in (seal(b"body", "w-2", key), sealed[:-1] + b"!", b"", b"\xff" + sealed, b"nonsense"):
        with pytest.raises(Corrupt):
            unseal(forged, lambda worker: report_key("secret", worker))


async def test_kafka_does_not_evict_a_server_that_polls_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given Kafka's shortest poll interval, a server that is busy for longer reads every report once."""
    patient = kafka.client_settings
    impatient = {"max.poll.interval.ms": 6_000, "session.timeout.ms": 6_000}
    monkeypatch.setattr(kafka, "client_settings", lambda url: {**patient(url), **impatient})
    async with broker_url("kafka") as url:
        broker: Broker = backend("broker", url)(url)
        await broker.open()
        worker = a_worker(url)
        await worker.open()
        bodies = [secrets.token_bytes(16) for _ in range(3)]
        await worker.publish_report(bodies[0], "j")
        assert (await taken(broker, 1))[0] == bodies[:1]
        await worker.publish_report(bodies[1], "j")
        await asyncio.sleep(8)
        await worker.publish_report(bodies[2], "j")
        assert (await taken(broker, 2))[0] == bodies[1:]
        await broker.publish_wakeup(WakeUp(worker="w", job="j", attempt=1))
        async with asyncio.timeout(10):
            assert (await worker.wakeup()).attempt == 1
        await worker.close()
        await broker.close()
