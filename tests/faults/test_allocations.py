"""Workers made for one job: a failed one is started again, an unneeded one ends, and none exists twice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest

from headway.client import JobHandle
from tests.fleet import Fleet, ended, wait_until
from tests.random_kills import outcome, trainer_spec


def workers_of(job: JobHandle) -> dict[int, psutil.Process]:
    """The worker processes of a job, by seat."""
    found = {}
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if "--allocation" in line and f"/{job.id}-" in line[line.index("--home") + 1]:
            seat = int(line[line.index("--seat") + 1])
            assert seat not in found, "a seat has two workers"
            found[seat] = process
    return found


@pytest.fixture
def engine(fleet: Fleet) -> Iterator[Fleet]:
    """A server with the local engine, which is the default. Its workers outlive it."""
    fleet.settings |= {"HEADWAY_ENGINE_URLS": "local:?slots=4", "HEADWAY_DEFAULT_ENGINE": "local"}
    fleet.start_server()
    yield fleet
    fleet.kill("server")
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(str(fleet.folder) in word for word in process.cmdline()) and "worker" in process.cmdline():
                process.kill()


def trains(job: JobHandle, attempt: int) -> bool:
    now = job.refresh().data["attempt"]
    assert job.status not in ("succeeded", "failed"), [job.data["sentence"], job.attempts()]
    return bool(now and now["number"] >= attempt and "first_step" in now["stages"])


@pytest.mark.timeout(600)
def test_a_struck_job_on_an_engine_ends_as_one_left_alone_and_leaves_nothing(engine: Fleet) -> None:
    """Given a job with two workers of its own, when the server is killed while they start and while they train, one
    worker is killed, and one is told to end, then its weights are those of a job that nothing happened to.
    """
    fleet = engine
    spec = trainer_spec("cnn", 2, "fp32", steps=2000, every_steps=15)
    with fleet.client() as client:
        struck = client.submit(spec)
        started = wait_until(lambda: len(workers_of(struck)) == 2 and workers_of(struck), "the start of both workers")
        fleet.kill("server")
        fleet.start_server()
        alone = client.submit(spec)
        wait_until(lambda: trains(struck, 1), "the first step")
        assert workers_of(struck) == started, "what was there was adopted"
        fleet.kill("server")
        fleet.start_server()
        workers_of(struck)[1].kill()
        wait_until(lambda: trains(struck, 2), "the first step after a worker was killed")
        assert workers_of(struck)[0] == started[0], "the survivor kept its seat"
        workers_of(struck)[0].send_signal(signal.SIGTERM)
        wait_until(lambda: trains(struck, 3), "the first step after a worker was told to end")
        struck, alone = ended(struck), ended(alone)
        assert (struck.status, alone.status) == ("succeeded", "succeeded")
        assert outcome(struck).weights == outcome(alone).weights
        assert struck.data["retries_used"] == 1, "a worker that was told to end is no failure"
        assert [one["reason"] for one in struck.attempts()] == ["worker_lost", "worker_stopped", "completed"]
        wait_until(lambda: not workers_of(struck) and not workers_of(alone), "the end of the workers")
        wait_until(lambda: not list((fleet.home / "engines" / "local").iterdir()), "the end of their folders")
        assert client.workers() == []
