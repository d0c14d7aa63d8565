"""Inquiries into running jobs."""

from __future__ import annotations

import time

import pytest

from headway.client import Client
from tests.fleet import Fleet, ended, wait_until


@pytest.mark.timed
def test_a_command_beside_a_rank_and_its_stacks(shared_fleet: Fleet) -> None:
    source = """
import os, time, torch.distributed as dist
open("marker", "w").write("x")
dist.init_process_group("gloo")
def waits_for_ever():
    time.sleep(300)
if os.environ["RANK"] == "1": waits_for_ever()
dist.barrier()
"""
    job = shared_fleet.script(source, name="looked-into", world_size=2)
    wait_until(lambda: job.refresh().status == "running", "the job's start")
    wait_until(lambda: "waits_for_ever" in job.stacks(), "the rank's wait")
    stacks = job.stacks()
    first, second = stacks.split("Rank 1 ")
    assert "in barrier" in first
    assert "waits_for_ever" in second
    assert "/headway/training/" not in stacks
    ran = shared_fleet.command("exec", "looked-into", "--rank", "1", "--", "sh", "-c", "cat marker; echo $RANK; exit 3")
    assert (ran.stdout, ran.returncode) == ("x1\n", 3)
    missing = shared_fleet.command("exec", "looked-into", "--", "no-such-program")
    assert (missing.returncode, "No such file or directory" in missing.stderr) == (127, True)
    slow = shared_fleet.command("exec", "looked-into", "--timeout", "1s", "--", "sleep", "60")
    assert (slow.returncode, "took too long" in slow.stderr) == (137, True)
    assert job.refresh().status == "running"
    began = time.monotonic()
    job.cancel(kill=True)
    assert ended(job).status == "cancelled"
    assert time.monotonic() - began < 4  # no grace


def test_the_use_of_workers_is_shown(shared_fleet: Fleet, client: Client) -> None:
    job = shared_fleet.script("import time; time.sleep(300)", name="uses-slots", world_size=2)
    wait_until(lambda: job.refresh().status == "running", "the job's start")
    (worker,) = [one for one in client.workers() if one["ranks"]]
    assert (worker["ranks"], worker["used_slots"]) == ({"uses-slots": 2}, 2)
    assert 0 < worker["load"]["memory_used_bytes"] < worker["load"]["memory_bytes"]
    assert "uses-slots (2)" in shared_fleet.command("workers").stdout
    job.cancel(kill=True)
    ended(job)
