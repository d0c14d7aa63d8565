"""Faults while saving: full disks, killed servers, zombies. The newest complete checkpoint always loads."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from tests.fleet import Fleet, ended, has_checkpoint, wait_until
from tests.random_kills import rank_pids
from tests.small_disk import small_disk

SAVING = """
import headway, pathlib, sys, time, torch
run = headway.run()
state = run.restore() or {"step": 0, "sum": 0}
print("from", state["step"], state["sum"], flush=True)
while state["step"] < int(sys.argv[1]):
    state["step"] += 1
    state["sum"] += state["step"]
    run.log(state["step"], sum=state["sum"])
    time.sleep(0.02)
    if state["step"] % 5 == 0: run.save(state, state["step"])
    while state["step"] == 300 and sys.argv[2:] and not pathlib.Path(sys.argv[2]).exists(): time.sleep(0.05)
print("sum", state["sum"], flush=True)
"""


def texts(job: object) -> list[str]:
    return [line["text"] for line in job.logs() if line["rank"] == 0]


def test_a_full_disk_costs_a_checkpoint_with_a_warning(fleet: Fleet, tmp_path: Path) -> None:
    """Given a checkpoint that does not fit on the disk, training continues; a retry starts from the previous one."""
    source = """
import headway, os, signal, sys, time, torch
run = headway.run()
state = run.restore()
print("from", state and state["step"], flush=True)
for step, megabytes in ((1, 1), (2, 60), (3, 60)):
    run.save({"step": step, "weights": torch.zeros(megabytes << 18)}, step)
    run.log(step, loss=1.0)
if run.attempt == 1:
    while not os.path.exists(sys.argv[1]): time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    with small_disk(tmp_path / "small") as disk:
        fleet.start_server()
        fleet.start_worker("one", slots=1, home=disk / "home")
        fleet.wait_for_workers(1)
        go = tmp_path / "go"
        job = fleet.script(source, str(go))
        wait_until(
            lambda: has_checkpoint(job) and job.refresh().data["warnings"], "the first checkpoint, and a warning"
        )
        go.touch()
        assert ended(job).status == "succeeded", job.data
        assert [text for text in texts(job) if text.startswith("from")] == ["from None", "from 1"]
        (warning,) = job.data["warnings"]
        assert warning.startswith("The checkpoint of step 2 could not be saved by rank 0: ")
        assert warning.endswith("Training continues.")
        fleet.processes["one"].kill()
        fleet.processes["one"].wait()


def test_a_server_killed_while_checkpoints_are_stored(fleet: Fleet, tmp_path: Path) -> None:
    """Given a job that keeps saving, when the server is killed before a commit, no checkpoint is incomplete."""
    generator = random.Random(11)
    fleet.start_server()
    fleet.start_worker("one", slots=1)
    fleet.wait_for_workers(1)
    resumed = tmp_path / "resumed"
    job = fleet.script(SAVING, "400", str(resumed), checkpoints={"keep_newest": 2})
    wait_until(lambda: has_checkpoint(job), "the first checkpoint")
    for _ in range(3):
        time.sleep(generator.uniform(0.0, 0.6))
        fleet.kill("server")
        fleet.start_server()
    wait_until(lambda: job.refresh().status == "running", "the job after the restarts")
    (pid,) = rank_pids(fleet, job, 1)
    os.kill(pid, signal.SIGKILL)
    resumed.touch()
    assert ended(job).status == "succeeded", job.data
    restored = job.attempts()[1]["restored_step"]
    assert texts(job)[1] == f"from {restored} {restored * (restored + 1) // 2}"
    assert texts(job)[-1] == f"sum {400 * 401 // 2}"
    (series,) = job.metrics(points=10_000).series
    assert series["steps"] == list(range(1, 401))
    folder = fleet.home / "objects" / "checkpoints" / job.id
    wait_until(lambda: len([path for path in folder.rglob("c-*") if path.is_file()]) == 2, "the sweep of strays")


def test_a_zombies_late_checkpoint_never_wins(tmp_path: Path) -> None:
    """Given a worker that is silent for a lease while its rank saves, its later reports change nothing."""
    with Fleet(
        tmp_path, lease_seconds=6, heartbeat_seconds=0.5
    ) as fleet:  # a busy machine delays heartbeats by seconds
        fleet.start_server()
        fleet.start_worker("one", slots=1)
        fleet.wait_for_workers(1)
        job = fleet.script(SAVING, "500")
        wait_until(lambda: has_checkpoint(job), "the first checkpoint")
        fleet.kill("one", signal.SIGSTOP)  # the rank itself continues and saves
        fleet.start_worker("two", slots=1)
        wait_until(lambda: job.refresh().data["attempt"]["number"] == 2 and job.status == "running", "the next attempt")
        wait_until(lambda: job.refresh().data["checkpoints"][-1]["attempt"] == 2, "a checkpoint of it")
        fleet.kill("one", signal.SIGCONT)
        assert ended(job).status == "succeeded", job.data
        commits = [event["data"] for event in job.events() if event["type"] == "checkpoint.committed"]
        assert [one["attempt"] for one in commits] == sorted(one["attempt"] for one in commits)
        assert {one["attempt"] for one in job.checkpoints()} == {2}
        assert texts(job)[-1] == f"sum {500 * 501 // 2}"
        (series,) = job.metrics(points=10_000).series
        assert series["steps"] == list(range(1, 501))
