"""Databases and brokers are killed, stopped and paused during a job. Nothing is lost, and nothing happens twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from headway.client import JobHandle
from tests.faults.test_kills import COUNTING, assert_nothing_lost_or_doubled
from tests.fleet import Fleet, ended, wait_until
from tests.services import broker_for_processes, control, database_for_processes

pytestmark = pytest.mark.disturbs_servers
STEPS = 400
LEASE_SECONDS = 10
HANG_SECONDS = LEASE_SECONDS + 2
"""A worker whose heartbeats wait for the broker would be lost."""


@contextmanager
def fleet_over(folder: Path, database: str | None = None, broker: str | None = None) -> Iterator[Fleet]:
    with ExitStack() as stack:
        settings = {}
        if database:
            settings["database_url"] = stack.enter_context(database_for_processes(database, folder))
        if broker:
            settings["broker_url"] = stack.enter_context(broker_for_processes(broker))
        fleet = stack.enter_context(Fleet(folder, heartbeat_seconds=0.7, lease_seconds=LEASE_SECONDS, **settings))
        fleet.start_server()
        fleet.start_worker("one", slots=2)
        fleet.wait_for_workers(1)
        yield fleet


def counting(fleet: Fleet) -> JobHandle:
    job = fleet.script(COUNTING, str(STEPS), "0.02", world_size=2)
    wait_until(lambda: job.metrics(), "the first metrics")
    return job


def assert_untouched(job: JobHandle) -> None:
    assert ended(job).status == "succeeded", job.data
    assert [one["reason"] for one in job.attempts()] == ["completed"]
    assert_nothing_lost_or_doubled(job, STEPS, 2)


@pytest.mark.parametrize(("kind", "service"), [("postgresql", "postgres"), ("mongodb", "mongodb")])
def test_a_database_killed_under_load_comes_back(tmp_path: Path, kind: str, service: str) -> None:
    """Given a training, when its database is killed and restarted, then the server continues without a restart."""
    with fleet_over(tmp_path, database=kind) as fleet:
        job = counting(fleet)
        control("kill", service)
        wait_until(lambda: "Reports cannot be stored now" in fleet.log("server"), "a report that cannot be stored")
        control("start", service)
        assert_untouched(job)
        assert ended(fleet.script("print('after')")).status == "succeeded"


@pytest.mark.parametrize(("kind", "node"), [("rabbitmq", "rabbitmq"), ("kafka", "kafka/1")])
def test_a_broker_killed_under_load_costs_only_time(tmp_path: Path, kind: str, node: str) -> None:
    """Given a training, when RabbitMQ or one of three Kafka brokers is killed, no report is lost or duplicated."""
    with fleet_over(tmp_path, broker=kind) as fleet:
        job = counting(fleet)
        control("kill", node)
        if kind == "kafka":
            assert_untouched(job)  # two of three brokers are enough
            control("start", node)
        else:
            wait_until(lambda: "RabbitMQ cannot be reached" in fleet.log("server"), "the loss of the broker")
            control("start", node)
            assert_untouched(job)
        assert ended(fleet.script("print('after')")).status == "succeeded"


def test_a_broker_that_hangs_for_a_while_costs_only_time(tmp_path: Path) -> None:
    """Given a training, when RabbitMQ hangs with open connections, then all reports arrive once it continues."""
    with fleet_over(tmp_path, broker="rabbitmq") as fleet:
        job = counting(fleet)
        control("pause", "rabbitmq")
        try:
            time.sleep(HANG_SECONDS)
        finally:
            control("resume", "rabbitmq")
        assert_untouched(job)


def test_a_job_outlasts_rabbitmqs_consumer_timeout(tmp_path: Path) -> None:
    """Given RabbitMQ that closes channels which hold a message for a second, a longer job's channels stay open."""
    control("set", "rabbitmq", "consumer_timeout_ms=1000", "channel_tick_interval_ms=500")
    try:
        with fleet_over(tmp_path, broker="rabbitmq") as fleet:
            job = counting(fleet)
            assert_untouched(job)
            assert "read from RabbitMQ again" not in fleet.log("server")
    finally:
        control("set", "rabbitmq", "consumer_timeout_ms=1800000", "channel_tick_interval_ms=60000")


def test_poison_among_the_reports_is_put_aside_and_counted(tmp_path: Path) -> None:
    """Given an unreadable report, and one with another worker's signature, the job is not affected."""
    import aio_pika

    with fleet_over(tmp_path, broker="rabbitmq") as fleet:
        job = counting(fleet)

        async def poison() -> int:
            connection = await aio_pika.connect(fleet.settings["HEADWAY_BROKER_URL"])
            channel = await connection.channel()
            for body in (b"nonsense", b"\x03w-1" + bytes(32) + b"forged"):
                await channel.default_exchange.publish(aio_pika.Message(body), routing_key="headway.reports")
            dead = await channel.declare_queue("headway.dead-letters", passive=True)
            async with asyncio.timeout(20):
                while dead.declaration_result.message_count < 2:
                    await asyncio.sleep(0.2)
                    dead = await channel.declare_queue("headway.dead-letters", passive=True)
            await connection.close()
            return int(dead.declaration_result.message_count)

        assert asyncio.run(poison()) == 2
        assert_untouched(job)
        assert "Report put aside (2 so far)" in fleet.log("server")
