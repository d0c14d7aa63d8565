"""During a job, proxies cut off, slow down and black-hole the network to databases, brokers and caches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.faults.test_kills import COUNTING, assert_nothing_lost_or_doubled
from tests.fleet import Fleet, ended, wait_until
from tests.services import Proxies, settings_of_set, through_proxy

BLACK_HOLE_SECONDS = 60
STEPS = 2_500
KAFKA = ("kafka-0", "kafka-1", "kafka-2")
NETWORKS = {
    "PostgreSQL, RabbitMQ, Redis, S3": ("postgres", "rabbitmq", "redis", "s3"),
    "MongoDB, RabbitMQ to dispatch, Kafka for results, Redis": ("mongodb", "rabbitmq", "redis", *KAFKA),
}


@pytest.mark.timeout(400)
def test_networks_that_fail_cost_only_time(tmp_path: Path) -> None:
    """Given training on two sets, when all their backends are cut off, then slow, then unreachable for a minute.

    Then no process was restarted, the attempt is still the first, no line or point is lost or duplicated, and new jobs
    run.
    """
    proxies = Proxies(*{proxy: None for names in NETWORKS.values() for proxy in names})
    with ExitStack() as stack:
        fleets = [stack.enter_context(fleet_behind_proxies(name, tmp_path / str(n))) for n, name in enumerate(NETWORKS)]
        jobs = [fleet.script(COUNTING, str(STEPS), "0.04") for fleet in fleets]
        for job in jobs:
            wait_until(job.metrics, "the first metrics")
        with proxies.cut():
            time.sleep(3)
        all_run_a_job(fleets, "print('after the cut')")
        with proxies.toxic("latency", latency=300):
            all_run_a_job(fleets, "print('slowly')")
        with proxies.toxic("timeout", timeout=0):
            time.sleep(BLACK_HOLE_SECONDS)
        all_run_a_job(fleets, "print('after the black hole')")
        for name, fleet, job in zip(NETWORKS, fleets, jobs, strict=True):
            assert ended(job).status == "succeeded", (name, job.data)
            assert [one["reason"] for one in job.attempts()] == ["completed"], name
            assert_nothing_lost_or_doubled(job, STEPS, 1)
            assert all(process.poll() is None for process in fleet.processes.values()), name


@contextmanager
def fleet_behind_proxies(name: str, folder: Path) -> Iterator[Fleet]:
    """A server on one of the sets, which it reaches through proxies, and a worker."""
    folder.mkdir()
    with (
        settings_of_set(name, folder, through_proxy) as settings,
        Fleet(folder, heartbeat_seconds=0.7, **settings) as fleet,
    ):
        fleet.start_server()
        fleet.start_worker("one", slots=2)
        fleet.wait_for_workers(1)
        yield fleet


def all_run_a_job(fleets: list[Fleet], source: str) -> None:
    for fleet in fleets:
        assert ended(fleet.script(source)).status == "succeeded"
