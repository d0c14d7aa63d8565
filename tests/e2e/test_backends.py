"""The same training, with a worker killed in the middle, over each set of backends that users run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import headway
from headway.drill.checks import broken_invariants, weights_of
from tests.fleet import Fleet, ended, wait_until
from tests.services import broker_url, database_for_processes, service_url

SOURCE = (Path(headway.__file__).parent / "drill" / "training.py").read_text()
SETS = {
    "PostgreSQL, RabbitMQ, Redis": ("postgresql", "rabbitmq", "rabbitmq", "REDIS_URL"),
    "MongoDB, RabbitMQ to dispatch, Kafka for results, Redis": ("mongodb", "rabbitmq", "kafka", "REDIS_URL"),
    "PostgreSQL, Kafka, Redis over TLS": ("postgresql", "kafka", "kafka", "REDIS_TLS_URL"),
    "as Amazon DocumentDB, Kafka over TLS": ("mongodb-tls", "kafka-tls-scram", "kafka-tls-scram", None),
}


@pytest.fixture(params=SETS)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """A server and three workers over one set."""
    database, assignments, reports, cache = SETS[request.param]
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())

        def entered(kind: str) -> str:
            context = broker_url(kind)
            url = runner.run(context.__aenter__())
            stack.callback(lambda: runner.run(context.__aexit__(None, None, None)))
            return url

        settings = {"database_url": stack.enter_context(database_for_processes(database, tmp_path))}
        settings["assignments_url"] = entered(assignments)
        settings["reports_url"] = settings["assignments_url"] if reports == assignments else entered(reports)
        settings |= {"cache_url": service_url(cache)} if cache else {}
        fleet = stack.enter_context(Fleet(tmp_path, heartbeat_seconds=0.7, lease_seconds=3, **settings))
        fleet.start_server()
        for name in ("one", "two", "spare"):
            fleet.start_worker(name, slots=1)
        fleet.wait_for_workers(3)
        yield fleet


def test_a_training_survives_the_loss_of_a_worker(fleet: Fleet) -> None:
    spec = {"world_size": 2, "workers": 2}
    alone = ended(fleet.script(SOURCE, **spec))
    assert alone.status == "succeeded", alone.data
    job = fleet.script(SOURCE, **spec)
    wait_until(lambda: any(one["steps"][-1] > 60 for one in job.metrics(["train/loss"])), "some steps")
    fleet.kill(job.refresh().data["attempt"]["assignments"][1]["worker_name"])
    assert ended(job).status == "succeeded", job.data
    assert broken_invariants(job, weights_of(alone)) == []
    assert [one["reason"] for one in job.attempts()] == ["worker_lost", "completed"]
