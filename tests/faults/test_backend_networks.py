"""The network before databases, brokers and caches is cut, slow and a black hole, by proxies, under a running job."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.test_kills import COUNTING, assert_nothing_lost_or_doubled
from tests.fleet import Fleet, ended, wait_until
from tests.services import Proxies, settings_of_set, through_proxy

BLACK_HOLE_SECONDS = 60
STEPS = 2_500
KAFKA = ("kafka-0", "kafka-1", "kafka-2")
NETWORKS = {
    "PostgreSQL, RabbitMQ, Redis": ("postgres", "rabbitmq", "redis"),
    "MongoDB, RabbitMQ to dispatch, Kafka for results, Redis": ("mongodb", "rabbitmq", "redis", *KAFKA),
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_that_fail_cost_only_time(tmp_path: Path, name: str) -> None:
    """Given a training, when all its backends are cut off, then slow, then gone for a minute without a word.

    Then no process was restarted, the attempt is the first, each line and point is there once, and new jobs run.
    """
    proxies = Proxies(*NETWORKS[name])
    with settings_of_set(name, tmp_path) as own:
        settings = {setting: through_proxy(url) for setting, url in own.items()}
        with Fleet(tmp_path, heartbeat_seconds=0.7, **settings) as fleet:
            fleet.start_server()
            fleet.start_worker("one", slots=2)
            fleet.wait_for_workers(1)
            job = fleet.script(COUNTING, str(STEPS), "0.04")
            wait_until(lambda: job.metrics(), "the first metrics")
            with proxies.cut():
                time.sleep(3)
            assert ended(fleet.script("print('after the cut')")).status == "succeeded"
            with proxies.toxic("latency", latency=300):
                assert ended(fleet.script("print('slowly')")).status == "succeeded"
            with proxies.toxic("timeout", timeout=0):
                time.sleep(BLACK_HOLE_SECONDS)
            assert ended(fleet.script("print('after the black hole')")).status == "succeeded"
            assert ended(job).status == "succeeded", job.data
            assert [one["reason"] for one in job.attempts()] == ["completed"]
            assert_nothing_lost_or_doubled(job, STEPS, 1)
            assert all(process.poll() is None for process in fleet.processes.values())
