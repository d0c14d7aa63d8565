"""The drill holds, as a user runs it; and it says so when something does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from headway.drill.checks import broken_invariants
from tests.fleet import Fleet, ended

CHOSEN = ("rank killed", "worker killed", "newest checkpoint damaged")
"""CI's sample: a quarter of the four minutes that all scenarios take."""


@pytest.mark.timeout(600)
def test_scenarios_of_the_drill_hold(tmp_path: Path) -> None:
    only = [word for words in CHOSEN for word in ("--only", words)]
    command = [sys.executable, "-m", "headway", "drill", "--json", *only]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = json.loads(ran.stdout)
    times = {one["scenario"]: one for one in said["scenarios"]}
    assert {name: one["broken"] for name, one in times.items()} == {name: [] for name in times}
    assert set(CHOSEN) <= set(times)
    assert (ran.returncode, said["held"]) == (0, True)
    assert times["rank killed"]["first_step_seconds"] < 10
    assert times["newest checkpoint damaged"]["repeated_steps"] > 80


def test_a_training_that_was_tampered_with_does_not_pass(shared_fleet: Fleet) -> None:
    """Given a job that skips a step, prints a line twice and ends with other weights, each is said."""
    source = """
import headway
run = headway.run()
for step in [*range(1, 100), *range(101, 301)]:
    run.log(step, **{"train/loss": 1.0})
    print("step", step)
print("step", 300)
print("weights", "other")
"""
    job = ended(shared_fleet.script(source))
    said = " ".join(broken_invariants(job, "weights mine"))
    assert "The weights differ from the unbroken run's." in said
    assert "The metrics of rank 0 do not have each step once." in said
    assert "Lines of rank 0 in attempt 1 are lost or doubled." in said
    assert "The newest checkpoint does not load" in said


def test_drill_lists_its_scenarios_and_refuses_unknown_ones(shared_fleet: Fleet) -> None:
    listed = shared_fleet.command("drill", "--list", "--only", "server").stdout.splitlines()
    assert listed == ["server killed", "server killed while committing", "server killed at the end"]
    assert shared_fleet.command("drill", "--only", "no such thing").returncode == 2
