"""Stalled jobs are ended, jobs that keep failing are not retried, and all of them say why."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path

import pytest

from headway.client import JobHandle
from tests.fleet import Fleet, ended, has_checkpoint, wait_until


def texts(job: JobHandle, rank: int = 0) -> list[str]:
    return [line["text"] for line in job.logs() if line["rank"] == rank]


HANGS = """
import headway, time, torch, torch.distributed as dist
run = headway.run()
dist.init_process_group("gloo")
def sleeps_for_ever():
    time.sleep(600)
first = (run.restore() or {"step": 0})["step"]
for step in range(first + 1, 41):
    if step == 25 and run.attempt == 1 and run.rank == 1: sleeps_for_ever()
    dist.all_reduce(torch.ones(1))
    time.sleep(0.01)
    if run.rank == 0: run.log(step, loss=1.0)
    if step % 10 == 0: run.save({"step": step}, step)
"""


def test_a_hanging_rank_is_named_and_the_job_continues(shared_fleet: Fleet, tmp_path: Path) -> None:
    """Given a rank that does not join a collective, the stall ends the attempt, and the rank's stack is kept."""
    job = shared_fleet.script(HANGS, world_size=2, stall_seconds=2)
    began = time.monotonic()
    assert ended(job).status == "succeeded", job.data
    assert time.monotonic() - began < 60, "it waited for the usual limit"
    first, second = job.attempts()
    assert first["reason"] == "stalled"
    event = next(event for event in job.events() if event["type"] == "attempt.ended")
    assert event["data"]["sentence"].startswith("No progress since step 24 (")
    assert "the other ranks wait for rank 1" in event["data"]["sentence"]
    assert second["restored_step"] == 20
    (stacks,) = [one["name"] for one in job.data["artifacts"] if "stacks/attempt-1." in one["name"]]
    (path,) = job.download(stacks, tmp_path)
    assert "in sleeps_for_ever" in path.read_text()


def test_idle_ranks_are_detected_before_their_first_step(fleet: Fleet) -> None:
    """Given idle ranks that log no step, after a while there is a warning, or the attempt ends if the job asks for
    that.
    """
    fleet.settings |= {"HEADWAY_RESOURCE_SAMPLE_SECONDS": "0.2", "HEADWAY_STARTUP_LIMIT_SECONDS": "2"}
    fleet.start_server()
    fleet.start_worker("one", slots=2)
    source = "import time\nprint('waits', flush=True)\ntime.sleep(600)"
    ends = fleet.script(source, stall_seconds=2, retries=0)
    warned = fleet.script(source)
    assert ended(ends).data["reason"] == "stalled"
    assert "stacks/attempt-1.txt" in [one["name"] for one in ends.data["artifacts"]]
    (warning,) = wait_until(lambda: warned.refresh().data["warnings"], "the warning")
    assert "Rank 0 on worker one has logged no step, computed nothing and printed nothing for" in warning
    assert warned.status == "running"


def test_a_gang_that_stalls_over_two_workers_leaves_all_stacks(shared_fleet: Fleet) -> None:
    job = shared_fleet.script(HANGS, world_size=4, stall_seconds=2, workers=2)
    assert ended(job).status == "succeeded", job.data
    stacks = [one["name"] for one in job.data["artifacts"] if "stacks/attempt-1." in one["name"]]
    assert len(stacks) == 2


def test_three_failures_at_one_step_end_the_job(shared_fleet: Fleet) -> None:
    source = """
import headway, os, signal, time
run = headway.run()
step = (run.restore() or {"step": 0})["step"]
while True:
    step += 1
    if step == 13: time.sleep(1.5); os.kill(os.getpid(), signal.SIGKILL)
    run.log(step, loss=1.0)
    if step == 10: run.save({"step": step}, step)
"""
    job = ended(shared_fleet.script(source, retries=50))
    assert (job.status, job.data["reason"], job.data["attempt"]["number"]) == ("failed", "same_step", 3)
    assert job.data["sentence"].startswith("Three attempts in a row failed at step 12.")
    assert "was killed with SIGKILL" in job.data["sentence"]


def test_a_worker_that_is_shut_down_lets_its_ranks_save(fleet: Fleet) -> None:
    """SIGTERM drains a worker as well: the job continues from the steps trained until then."""
    fleet.start_server()
    fleet.start_worker("one", slots=1)
    fleet.wait_for_workers(1)
    parameters = {"epochs": 10_000, "max_steps": 2000, "batch_size": 32}
    with fleet.client() as client:
        policy = {"every_seconds": None, "epoch_end": False}
        job = client.submit({"trainer": "mlp", "dataset": "digits", "parameters": parameters, "checkpoints": policy})
        wait_until(lambda: job.metrics(), "the first metrics")
        fleet.processes["one"].terminate()
        fleet.start_worker("two", slots=1)
        assert ended(job).status == "succeeded", job.data
        first, second = job.attempts()
        assert (first["reason"], job.data["retries_used"]) == ("worker_stopped", 0)
        placed = [event["at"] for event in job.events() if event["type"] == "attempt.placed"]
        assert placed[1] - first["ended_at"] < 30, "it was placed on the worker that was leaving"
        assert second["restored_step"] > 0
        assert second["repeats_steps"] < 20


def test_a_drained_worker_gives_its_jobs_to_another(fleet: Fleet) -> None:
    """Given a training, when its worker is drained, it saves and continues elsewhere, and no failure is counted."""
    fleet.start_server()
    for name in ("one", "two"):
        fleet.start_worker(name, slots=1)
    fleet.wait_for_workers(2)
    parameters = {"epochs": 10_000, "max_steps": 2500, "batch_size": 32}
    with fleet.client() as client:
        client.drain_worker("two")
        policy = {"every_seconds": None, "epoch_end": False}
        job = client.submit({"trainer": "mlp", "dataset": "digits", "parameters": parameters, "checkpoints": policy})
        wait_until(lambda: job.metrics(), "the first metrics")
        client.drain_worker("two", draining=False)
        assert "save and leave" in fleet.command("workers", "drain", "one").stdout
        assert ended(job).status == "succeeded", job.data
        first, second = job.attempts()
        assert (first["reason"], job.data["retries_used"]) == ("drained", 0)
        assert second["assignments"][0]["worker_name"] == "two"
        assert second["restored_step"] > 0
        assert second["repeats_steps"] < 20, "steps from before the drain were lost"
        assert "one (draining)" in fleet.command("workers").stdout
        fleet.kill("two")
        waits = fleet.script("print(1)")
        wait_until(lambda: "All workers are drained" in waits.refresh().data["sentence"], "the sentence")
        assert fleet.command("workers", "undrain", "one").returncode == 0
        assert ended(waits).status == "succeeded"
        assert fleet.command("workers", "drain", "nobody").returncode == 1


def test_labels_decide_where_a_job_runs(fleet: Fleet) -> None:
    fleet.start_server()
    fleet.start_worker("one", slots=1)
    token = str(fleet.home / "worker.token")
    fleet._start(
        "two", "worker", "--server", fleet.url, "--token-file", token, "--name", "two", "--slots", "1", "--home",
        str(fleet.folder / "two"), "--label", "gpu=a100",
    )  # fmt: skip
    fleet.wait_for_workers(2)
    job = ended(fleet.script("print(1)", where={"gpu": "a100"}))
    assert job.data["attempt"]["assignments"][0]["worker_name"] == "two"
    waits = fleet.script("print(1)", where={"gpu": "h200"})
    assert waits.refresh().data["sentence"].startswith("No connected worker has gpu=h200.")
    assert "gpu=a100" in fleet.command("workers").stdout


@pytest.mark.timed
def test_goodput_says_where_the_time_went(shared_fleet: Fleet) -> None:
    source = """
import headway, os, signal, time
run = headway.run()
step = (run.restore() or {"step": 0})["step"]
while step < 40:
    step += 1
    time.sleep(0.05)
    run.log(step, loss=1.0)
    if step == 20: run.save({"step": step}, step); time.sleep(0.2)
    if step == 30 and run.attempt == 1: time.sleep(1); os.kill(os.getpid(), signal.SIGKILL)
"""
    ended(shared_fleet.script("pass", world_size=4))  # makes both workers warm: warming up would count as start-up
    job = ended(shared_fleet.script(source))
    spent = job.goodput()
    assert spent["repeated_seconds"] == pytest.approx(1.7, abs=0.5)
    assert spent["useful_seconds"] == pytest.approx(2.0, abs=0.6)
    assert 0.3 < spent["fraction"] < 0.7
    assert "Goodput" in shared_fleet.command("show", job.name).stdout
    assert "Retry 1 of 3" in job.attempts()[0]["decision"]
    whole = json.loads(shared_fleet.command("goodput", "--days", "1", "--json").stdout)
    assert whole["jobs"] >= 1
    assert whole["repeated_seconds"] >= spent["repeated_seconds"]
    assert "GOODPUT" in shared_fleet.command("goodput").stdout
    assert shared_fleet.command("goodput", "--days", "0").returncode == 2


def test_waiting_names_the_holder_and_estimates_by_its_steps(fleet: Fleet) -> None:
    """Given a training that declares its steps, a job that waits for its slot is told for how long."""
    fleet.settings["HEADWAY_HEARTBEAT_SECONDS"] = "0.5"
    fleet.start_server()
    fleet.start_worker("one", slots=1)
    fleet.wait_for_workers(1)
    trains = """
import headway, time
run = headway.run()
run.reached("data_ready", total_steps=10_000)
for step in range(1, 10_001):
    time.sleep(0.05)
    run.log(step, loss=1.0)
"""
    holder = fleet.script(trains, name="holder")
    wait_until(lambda: holder.metrics(), "its first steps")
    waits = fleet.script("print(1)", name="waits")
    estimated = wait_until(
        lambda: (waits.refresh().data["waiting"] or {}).get("estimated_seconds"), "an estimate", seconds=20
    )
    assert 300 < estimated < 900
    assert waits.data["waiting"]["holders"] == {"holder": 1}
    assert "In use by holder (1). Starts in about" in fleet.command("show", "waits").stdout
    holder.cancel()
    assert ended(waits).status == "succeeded"
    assert waits.data["waiting"] is None


def test_ranks_and_their_devices_are_sampled(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given four devices of which the worker may use the last two, its slots, ranks and samples use these two."""
    use = "0, 10, 1\\n1, 20, 1\\n2, 75, 2048\\n3, 30, 1"
    devices = "\\n".join(f"{index}, GPU-{index}, Device" for index in range(4))
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\ncase "$1" in *name) printf "{devices}\\n";; *) printf "{use}\\n";; esac\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    fleet.settings["HEADWAY_RESOURCE_SAMPLE_SECONDS"] = "0.5"
    fleet.start_server()
    fleet.start_worker("one", slots=1)
    fleet.wait_for_workers(1)
    source = """
import os, time
print(os.environ["CUDA_VISIBLE_DEVICES"])
block = bytearray(200 << 20)
began, used = time.monotonic(), time.process_time()
while time.monotonic() < began + 4: pass
print((time.process_time() - used) / (time.monotonic() - began))
"""
    job = ended(fleet.script(source))
    device, cores = texts(job)
    assert device == "2"
    names = ["system/memory_bytes", "system/cpu_cores", "system/gpu_fraction", "system/gpu_memory_bytes"]
    series = {one["name"]: one["values"] for one in job.metrics(names).series}
    assert max(series["system/memory_bytes"]) > 200 << 20
    assert statistics.median(series["system/cpu_cores"]) == pytest.approx(float(cores), abs=0.4)
    assert set(series["system/gpu_fraction"]) == {0.75}
    assert set(series["system/gpu_memory_bytes"]) == {float(2 << 30)}
    assert job.metrics().series == []


def test_stacks_of_a_rank_that_cannot_write_them_are_read_from_outside(shared_fleet: Fleet) -> None:
    """Given a command that starts Python, py-spy reads its stack."""
    if shutil.which("py-spy", path=str(Path(sys.executable).parent)) is None:
        pytest.fail("py-spy is not installed beside this Python: make setup")
    code = (
        "import time\ndef waits_in_a_child():\n    print('there', flush=True)\n    time.sleep(600)\nwaits_in_a_child()"
    )
    with shared_fleet.client() as client:
        job = client.submit({"command": [sys.executable, "-c", code]})
        wait_until(lambda: texts(job) == ["there"], "its first line")
        assert "waits_in_a_child" in shared_fleet.command("stacks", job.name).stdout
        job.cancel()


def test_training_continues_with_fewer_ranks_when_a_worker_is_lost(fleet: Fleet) -> None:
    """Given a job for one or two ranks, when a worker is lost for good, it continues on one with the same samples."""
    fleet.settings["HEADWAY_SHRINK_WAIT_SECONDS"] = "1"
    fleet.start_server()
    for name in ("one", "two"):
        fleet.start_worker(name, slots=1)
    fleet.wait_for_workers(2)
    parameters = {"epochs": 10_000, "max_steps": 500, "batch_size": 32, "dropout": 0, "precision": "fp32"}
    spec = {"trainer": "mlp", "dataset": "digits", "parameters": parameters, "checkpoints": {"every_steps": 50}}
    with fleet.client() as client:
        alone = client.submit({**spec, "world_size": 2}).wait(progress=False)
        job = client.submit({**spec, "world_size": {"min": 1, "max": 2}})
        wait_until(lambda: has_checkpoint(job), "a checkpoint")
        fleet.kill("two")
        assert ended(job).status == "succeeded", job.data
        first, second = job.attempts()
        assert [sum(one["rank_count"] for one in attempt["assignments"]) for attempt in (first, second)] == [2, 1]
        assert second["restored_step"] >= 41  # the first epoch's end
        assert "1 of 2" in fleet.command("show", job.name).stdout
        assert job.result["test"]["loss"] == pytest.approx(alone.result["test"]["loss"], rel=0.05)
