"""Metrics of scripts that do not use Headway."""

from __future__ import annotations

import json

import pytest

from tests.e2e.own_work import series
from tests.fleet import Fleet, ended, wait_until


def test_metrics_of_unmodified_scripts(shared_fleet: Fleet) -> None:
    source = """
from torch.utils.tensorboard import SummaryWriter
with SummaryWriter() as writer:
    for step in range(30): writer.add_scalar("loss/train", 1.0 / (step + 1), step)
for epoch in (1, 2): print(f"epoch {epoch}: accuracy {epoch / 4:.2%}")
"""
    patterns = {"accuracy": r"epoch (?P<step>\d+): accuracy (?P<value>[\d.]+)%"}
    found = series(ended(shared_fleet.script(source, metrics=patterns)))
    assert (found["loss/train"]["count"], found["loss/train"]["values"][-1]) == (30, pytest.approx(1 / 30))
    assert (found["accuracy"]["steps"], found["accuracy"]["values"]) == ([1, 2], [25.0, 50.0])


def test_a_training_that_diverges_is_followed_to_its_end(shared_fleet: Fleet) -> None:
    source = """
import headway, time
for step, value in enumerate((1.0, float("inf"), float("nan")), start=1):
    headway.run().log(step, loss=value); time.sleep(1.1)
headway.run().finish(test={"loss": float("nan"), "accuracy": 0.1})
"""
    (shared_fleet.desk / "diverges.py").write_text(source)
    followed = shared_fleet.command("run", "diverges.py", "--name", "diverges")
    assert followed.returncode == 0, followed.stderr
    (found,) = json.loads(shared_fleet.command("metrics", "diverges", "--json").stdout)
    assert found["values"] == [1.0, "Infinity", "NaN"]
    for command in (("metrics", "diverges"), ("metrics", "diverges", "--plot"), ("show", "diverges"), ("jobs",)):
        assert shared_fleet.command(*command).returncode == 0
    assert shared_fleet.command("jobs", "--sort", "loss").returncode == 0


def test_event_files_are_read_while_the_script_runs(shared_fleet: Fleet) -> None:
    source = """
import time
from torch.utils.tensorboard import SummaryWriter
writer = SummaryWriter(flush_secs=1); writer.add_scalar("loss", 0.5, 1); writer.flush()
time.sleep(300)
"""
    job = shared_fleet.script(source)
    wait_until(lambda: "loss" in series(job), "the first scalar")
    assert job.refresh().status == "running"
    job.cancel()
    ended(job)
