"""Processes are killed at the worst moments. Users see the same results."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.fleet import Fleet, ended, wait_until
from tests.random_kills import rank_pids

COUNTING = """
import headway, sys, time
import torch.distributed as dist
run = headway.run()
if run.world_size > 1: dist.init_process_group("gloo")
for step in range(int(sys.argv[1])):
    print("line", step)
    run.log(step, value=step)
    time.sleep(float(sys.argv[2]))
"""


def counted(job: object, rank: int) -> list[str]:
    return [line["text"] for line in job.logs() if line["rank"] == rank]


def assert_nothing_lost_or_doubled(job: object, steps: int, world_size: int) -> None:
    for rank in range(world_size):
        assert counted(job, rank) == [f"line {step}" for step in range(steps)]
    series = [one for one in job.metrics(points=100_000).series if one["name"] == "value"]
    assert [one["steps"] for one in series] == [list(range(steps))] * world_size
    numbers = [event["number"] for event in job.events()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_server_killed_in_training_changes_nothing(fleet: Fleet) -> None:
    """Given a running job, when the server is killed and restarted three times, then the job is not affected."""
    steps = 400
    fleet.start_server()
    fleet.start_worker("one", slots=2)
    fleet.wait_for_workers(1)
    job = fleet.script(COUNTING, str(steps), "0.02", world_size=2)
    wait_until(lambda: job.refresh().status == "running", "the job's start")
    generator = random.Random(7)
    for _ in range(3):
        time.sleep(generator.uniform(0.2, 1.2))
        fleet.kill("server")
        time.sleep(generator.uniform(0.0, 0.8))
        fleet.start_server()
    job = ended(job)
    assert (job.status, job.data["attempt"]["number"], job.data["warnings"]) == ("succeeded", 1, [])
    assert_nothing_lost_or_doubled(job, steps, world_size=2)
    kinds = [event["type"] for event in job.events()]
    assert kinds == ["job.submitted", "attempt.placed", "attempt.started", "attempt.ended", "job.succeeded"]


def test_a_server_killed_while_the_job_ends(fleet: Fleet) -> None:
    """Given a job whose ranks end while no server runs, the next server learns of their end."""
    fleet.start_server()
    fleet.start_worker("one", slots=2)
    fleet.wait_for_workers(1)
    job = fleet.script(COUNTING, "40", "0.05")
    (rank,) = wait_until(lambda: rank_pids(fleet, job, 1), "the job's start")
    fleet.kill("server")
    wait_until(lambda: not _alive(rank), "the rank's end")
    fleet.start_server()
    job = ended(job)
    assert (job.status, job.data["attempt"]["number"]) == ("succeeded", 1)
    assert_nothing_lost_or_doubled(job, 40, world_size=1)


def test_a_trainer_outlasts_the_server(fleet: Fleet) -> None:
    """Its model is uploaded when the server is back."""
    fleet.start_server()
    fleet.start_worker("one", slots=2)
    fleet.wait_for_workers(1)
    with fleet.client() as client:
        job = client.train("mlp", dataset="digits", epochs=20, batch_size=32)
        wait_until(lambda: "first_step" in (job.refresh().data["attempt"] or {}).get("stages", {}), "the first step")
        (rank,) = rank_pids(fleet, job, 1)
        fleet.kill("server")
        wait_until(lambda: not _alive(rank), "the rank's end")
        fleet.start_server()
        job = ended(job)
        assert (job.status, job.data["attempt"]["number"]) == ("succeeded", 1), job.data
        assert len(job.data["artifacts"]) == 3


@pytest.mark.timed
def test_a_killed_workers_ranks_end_and_the_job_is_retried(fleet: Fleet) -> None:
    """Processes that the ranks started end as well, and output from before is not lost."""
    source = """
import os, subprocess, time
print("attempt", os.environ["HEADWAY_ATTEMPT"], flush=True)
if os.environ["HEADWAY_ATTEMPT"] == "1":
    child = subprocess.Popen(["sleep", "7654321"], start_new_session=True)
    print("pids", os.getpid(), child.pid, flush=True)
    time.sleep(600)
"""
    fleet.start_server()
    fleet.start_worker("one", slots=2)
    fleet.wait_for_workers(1)
    job = fleet.script(source, world_size=2)
    lines = wait_until(lambda: [one for one in counted(job, 0) + counted(job, 1) if "pids" in one], "the first lines")
    wait_until(lambda: len([one for one in counted(job, 0) + counted(job, 1) if "pids" in one]) == 2, "both ranks")
    lines = [one for one in counted(job, 0) + counted(job, 1) if "pids" in one]
    pids = [int(pid) for line in lines for pid in line.split()[1:]]
    fleet.kill("one")
    wait_until(lambda: not any(_alive(pid) for pid in pids), "the end of the ranks and what they started", seconds=1.0)
    wait_until(lambda: job.refresh().status == "queued", "the worker's loss", seconds=3.0)
    assert "Worker one was lost with its ranks" in job.data["sentence"]
    fleet.start_worker("one", slots=2)
    job = ended(job)
    assert (job.status, job.data["attempt"]["number"], job.data["retries_used"]) == ("succeeded", 2, 1)
    assert sorted(text for text in counted(job, 0) if "attempt" in text) == ["attempt 1", "attempt 2"]
    wait_until(
        lambda: any(event["type"] == "attempt.settled" for event in job.events()),
        "the first attempt's streams",
    )


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_lost_worker_ends_a_gang_over_several(fleet: Fleet) -> None:
    fleet.start_server()
    for name in ("one", "two"):
        fleet.start_worker(name, slots=2)
    fleet.wait_for_workers(2)
    source = "import os, time\nif os.environ['HEADWAY_ATTEMPT'] == '1': time.sleep(600)"
    job = fleet.script(source, world_size=4)
    wait_until(lambda: job.refresh().status == "running", "the job's start")
    fleet.kill("two")
    wait_until(lambda: job.refresh().status == "queued", "the release of the gang", seconds=30)
    assert "2 are needed" not in job.data["sentence"]
    assert "Needs 4 slots; all workers together have 2" in job.data["sentence"]
    fleet.start_worker("two", slots=2)
    assert ended(job).status == "succeeded"


@pytest.mark.timed
def test_a_worker_that_is_stopped_gives_its_job_back_without_a_failure(fleet: Fleet) -> None:
    fleet.start_server()
    fleet.start_worker("one", slots=1)
    fleet.wait_for_workers(1)
    job = fleet.script("import os, time\nprint('here')\nif os.environ['HEADWAY_ATTEMPT'] == '1': time.sleep(600)")
    wait_until(lambda: counted(job, 0), "the first line")
    fleet.kill("one", signal.SIGTERM)
    assert fleet.processes["one"].wait(30) == 0
    wait_until(lambda: job.refresh().status == "queued", "the job's return to the queue", seconds=5)
    assert job.data["retries_used"] == 0
    assert "Worker one was shut down." in job.data["sentence"]
    fleet.start_worker("one", slots=1)
    assert ended(job).status == "succeeded"


def test_a_paused_worker_is_lost_and_its_ranks_end_when_it_is_back(tmp_path: Path) -> None:
    """A zombie: the worker is silent for a lease, then wakes up. Its facts are refused and its ranks ended."""
    with Fleet(tmp_path, lease_seconds=4, heartbeat_seconds=0.5) as fleet:
        fleet.start_server()
        fleet.start_worker("one", slots=1)
        fleet.wait_for_workers(1)
        job = fleet.script(
            "import os, time\nprint('pid', os.getpid())\nif os.environ['HEADWAY_ATTEMPT'] == '1': time.sleep(600)"
        )
        pid = int(wait_until(lambda: counted(job, 0), "the first line")[0].split()[1])
        fleet.kill("one", signal.SIGSTOP)
        wait_until(lambda: job.refresh().status == "queued", "the worker's loss", seconds=30)
        assert _alive(pid)  # no process can reach it now
        fleet.kill("one", signal.SIGCONT)
        wait_until(lambda: not _alive(pid), "the end of the zombie's rank", seconds=30)
        job = ended(job)
        assert (job.status, job.data["attempt"]["number"]) == ("succeeded", 2)
        assert len(counted(job, 0)) == 2


def test_processes_of_an_earlier_start_are_ended(fleet: Fleet) -> None:
    """Given a paused launcher that missed its worker's death, the next start of the worker ends it."""
    fleet.start_server()
    fleet.start_worker("one", slots=1)
    fleet.wait_for_workers(1)
    job = fleet.script(
        "import os, time\nprint(os.getpid(), os.getppid())\nif os.environ['HEADWAY_ATTEMPT'] == '1': time.sleep(600)"
    )
    rank, launcher = (int(pid) for pid in wait_until(lambda: counted(job, 0), "the first line")[0].split())
    forkserver = psutil.Process(launcher).ppid()
    os.kill(launcher, signal.SIGSTOP)
    fleet.kill("one")
    wait_until(lambda: not _alive(forkserver), "the end of the worker's other processes")
    assert _alive(rank)
    fleet.start_worker("one", slots=1)
    wait_until(lambda: not _alive(rank) and not _alive(launcher), "the end of the survivors", seconds=30)
    assert ended(job).status == "succeeded"


@pytest.mark.parametrize("victim", ["launcher", "forkserver"])
def test_a_lost_launcher_or_forkserver_costs_an_attempt_at_most(fleet: Fleet, victim: str) -> None:
    fleet.start_server()
    fleet.start_worker("one", slots=1)
    fleet.wait_for_workers(1)
    source = "import os, time\nprint(os.getppid())\nif os.environ['HEADWAY_ATTEMPT'] == '1': time.sleep(3)"
    job = fleet.script(source)
    launcher = int(wait_until(lambda: counted(job, 0), "the first line")[0])
    target = launcher if victim == "launcher" else psutil.Process(launcher).ppid()
    os.kill(target, signal.SIGKILL)
    job = ended(job)
    assert job.status == "succeeded"
    assert job.data["attempt"]["number"] == (2 if victim == "launcher" else 1)
