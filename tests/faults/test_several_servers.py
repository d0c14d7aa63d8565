"""Several servers on one database: if any of them dies, users only notice a pause."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from headway.errors import SettingInvalid
from headway.server.server import Server
from headway.server.startup import started
from headway.settings import Settings
from tests.faults.test_kills import COUNTING, assert_nothing_lost_or_doubled
from tests.fleet import Fleet, ended, wait_until
from tests.services import broker_url, database_for_processes, database_url

SHARED = ["postgresql", "mongodb"]


@pytest.fixture(params=SHARED)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """Two servers with separate homes on one database and one object store, and a worker that knows both."""
    with (
        database_for_processes(request.param, tmp_path) as url,
        Fleet(tmp_path, database_url=url, objects_url=f"file://{tmp_path / 'objects'}") as fleet,
    ):
        fleet.start_server()
        fleet.start_server("second")
        fleet.start_worker("one", slots=2)
        fleet.wait_for_workers(1)
        yield fleet


@pytest.mark.timed
def test_when_the_leader_dies_another_leads_within_three_seconds(fleet: Fleet) -> None:
    """Given a training and a follower, when the leading server is killed, nothing is lost, and new jobs start soon."""
    job = fleet.script(COUNTING, "400", "0.02", world_size=1)
    wait_until(lambda: job.metrics(), "the first metrics")
    followed: list[str] = []

    def follow() -> None:
        with fleet.client() as client:
            for message in client.job(job.id).follow("logs"):
                if message.kind == "report":
                    followed.extend(line["text"] for line in message.data["lines"])

    follower = threading.Thread(target=follow)
    follower.start()
    fleet.kill("server")
    killed_at = time.monotonic()
    with fleet.client() as client:
        after = client.submit({"script": "s.py", "source": "print('after')"})
        wait_until(lambda: after.refresh().status != "queued", "the placement of a new job")
        assert time.monotonic() - killed_at < 3.0, "scheduling continued too late"
        assert ended(after).status == "succeeded"
        again = client.job(job.id)
        assert ended(again).status == "succeeded", again.data
        assert [one["reason"] for one in again.attempts()] == ["completed"]
        assert_nothing_lost_or_doubled(again, 400, 1)
    follower.join(timeout=30)
    assert followed == [f"line {number}" for number in range(400)], "the cursor was not valid across servers"


@pytest.mark.anyio
async def test_a_server_that_does_not_lead_takes_no_reports(tmp_path: Path) -> None:
    """Given RabbitMQ, only the leader reads the reports' queue, and after its end only the next leader."""
    import aio_pika

    async with database_url("postgresql", tmp_path) as url, broker_url("rabbitmq") as broker:

        def server(name: str) -> Server:
            objects = f"file://{tmp_path / 'objects'}"
            return Server(Settings(home=tmp_path / name, database_url=url, objects_url=objects, broker_url=broker))

        connection = await aio_pika.connect(broker)
        channel = await connection.channel()
        async with AsyncExitStack() as first:
            await first.enter_async_context(started(server("one"), "http://one"))
            second = AsyncExitStack()
            waiting = asyncio.create_task(second.enter_async_context(started(server("two"), "http://two")))
            await asyncio.sleep(1)
            assert not waiting.done()
            queue = await channel.declare_queue("headway.reports", passive=True)
            assert queue.declaration_result.consumer_count == 1
        async with asyncio.timeout(10):
            await waiting
        queue = await channel.declare_queue("headway.reports", passive=True)
        assert queue.declaration_result.consumer_count == 1
        await second.aclose()
        await connection.close()
        await asyncio.sleep(0.1)  # aio-pika runs its close callbacks as tasks that it does not await


@pytest.mark.timed
def test_every_server_answers_and_a_stopped_leader_hands_over_at_once(fleet: Fleet) -> None:
    """Given a standby server that forwards, when the leader is shut down, it leads without waiting for the lease."""
    assert fleet.command("jobs").returncode == 0
    fleet.kill("server", signal.SIGTERM)
    fleet.processes["server"].wait()
    wait_until(lambda: "This server leads now (term 2)" in fleet.log("second"), "the handover", seconds=2.5)
    fleet.start_server()
    job = ended(fleet.script("print('through the one that does not lead')"))
    assert job.status == "succeeded"


def test_a_leader_that_was_paused_steps_down(fleet: Fleet) -> None:
    """Given a leader that was paused past its lease, when it wakes, it finds another leader and forwards to it."""
    job = fleet.script(COUNTING, "200", "0.02", world_size=2)
    wait_until(lambda: job.metrics(), "the first metrics")
    fleet.kill("server", signal.SIGSTOP)
    wait_until(lambda: "This server leads now (term 2)" in fleet.log("second"), "the other leading", seconds=30)
    fleet.kill("server", signal.SIGCONT)
    wait_until(lambda: "Another server leads now" in fleet.log("server"), "its stepping down", seconds=30)
    assert ended(job).status == "succeeded", job.data
    assert_nothing_lost_or_doubled(job, 200, 2)
    assert fleet.command("jobs").returncode == 0


def test_a_server_on_all_addresses_has_to_say_where_the_others_reach_it(tmp_path: Path) -> None:
    with database_for_processes("postgresql", tmp_path) as url:
        command = [sys.executable, "-m", "headway", "server", "--host", "0.0.0.0", "--port", "0", "--behind-proxy"]  # noqa: S104
        environment = {**os.environ, "HEADWAY_DATABASE_URL": url, "HEADWAY_HOME": str(tmp_path / "home")}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2, ran.stderr
    assert "Set HEADWAY_ADVERTISED_URL to the URL where the other servers on its database can reach it" in ran.stderr


@pytest.mark.anyio
@pytest.mark.parametrize("kind", SHARED)
async def test_a_server_with_another_object_store_is_refused(kind: str, tmp_path: Path) -> None:
    async with database_url(kind, tmp_path) as url:
        first = Server(Settings(home=tmp_path / "one", database_url=url, objects_url=f"file://{tmp_path / 'objects'}"))
        async with started(first):
            pass
        other = Settings(home=tmp_path / "two", database_url="sqlite:////" + str(tmp_path / "other.db"))
        elsewhere = Server(other.model_copy(update={"objects_url": f"file://{tmp_path / 'objects'}"}))
        with pytest.raises(SettingInvalid, match="store belongs to another installation"):
            async with started(elsewhere):
                pass
