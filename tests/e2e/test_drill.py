"""The drill passes, as a user runs it; and it reports scenarios that fail."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from headway.drill.checks import broken_invariants
from headway.drill.run import Outcome, run_drill
from headway.drill.scenarios import SCENARIOS, Scenario, full_disk_of_server
from tests.fleet import Fleet, ended


@pytest.mark.timed
@pytest.mark.timeout(600)
def test_every_scenario_of_the_drill_holds(tmp_path: Path) -> None:
    def half(*names: str) -> dict[str, Any]:
        only = [word for name in names for word in ("--only", name)]
        command = [sys.executable, "-m", "headway", "drill", "--json", *only]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.stdout, ran.stderr
        said = json.loads(ran.stdout)
        assert (ran.returncode, said["held"]) == (0, True), said
        return said

    with ThreadPoolExecutor() as pool:  # two at once: a drill waits most of the time
        other = pool.submit(half, "worker", "network", "server")
        said = half("rank", "checkpoint", "broker", "clock")
    times = {one["scenario"]: one for one in [*said["scenarios"], *other.result()["scenarios"]]}
    assert {name: one["broken"] for name, one in times.items()} == {name: [] for name in times}
    assert sorted(times) == sorted(one.name for one in SCENARIOS)
    assert times["rank killed"]["first_step_seconds"] < 10
    assert times["newest checkpoint damaged"]["repeated_steps"] > 50
    assert 1 <= said["torchrun_tries"] <= 3  # sometimes it does not come back at all
    assert said["ratio_torchrun"] is None or said["ratio_torchrun"] > 1


def test_a_scenario_that_cannot_run_here_is_reported_and_does_not_pass(tmp_path: Path) -> None:
    scenario = Scenario("full disk", full_disk_of_server, possible=lambda: "there are no limits here")
    told: list[Outcome] = []
    said = run_drill(tmp_path, [scenario], told.append)
    assert not said.held
    assert [one.impossible for one in told] == ["there are no limits here"]


def test_the_drill_detects_tampered_training(shared_fleet: Fleet) -> None:
    """Given a job that skips a step, prints a line twice and ends with other weights, each is reported."""
    source = """
import headway
run = headway.run()
for step in [*range(1, 100), *range(101, 201)]:
    run.log(step, **{"train/loss": 1.0})
    print("step", step)
print("step", 200)
print("weights", "other")
"""
    job = ended(shared_fleet.script(source))
    said = " ".join(broken_invariants(job, "weights mine"))
    assert "The weights differ from those of the undisturbed run." in said
    assert "The metrics of rank 0 do not have each step once (missing: [100], duplicated: [])." in said
    assert "Lines of rank 0 in attempt 1 are lost or duplicated." in said
    assert "The newest checkpoint does not load" in said


def test_drill_lists_its_scenarios_and_refuses_unknown_ones(shared_fleet: Fleet) -> None:
    listed = shared_fleet.command("drill", "--list", "--only", "server").stdout.splitlines()
    assert listed == [one.name for one in SCENARIOS if "server" in one.name]
    assert shared_fleet.command("drill", "--only", "no such thing").returncode == 2
