"""The drill holds, as a user runs it; and it says so when something does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from headway.drill.checks import broken_invariants
from headway.drill.scenarios import SCENARIOS
from tests.fleet import Fleet, ended


@pytest.mark.timeout(900)  # fourteen trainings, each disturbed
def test_every_scenario_of_the_drill_holds(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "headway", "drill", "--json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    said = json.loads(ran.stdout)
    assert {one["scenario"]: one["broken"] for one in said["scenarios"]} == {one.name: [] for one in SCENARIOS}
    assert (ran.returncode, said["held"]) == (0, True)
    times = {one["scenario"]: one for one in said["scenarios"]}
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
