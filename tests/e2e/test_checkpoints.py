"""`run.save` and `run.restore`: an attempt goes on where the one before had come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.client import JobHandle
from tests.fleet import Fleet, ended, wait_until

COUNTS = """
import headway, os, signal, sys, time, torch
run = headway.run()
state = run.restore() or {"step": 0, "weights": torch.zeros(3)}
print(f"attempt {run.attempt} from {state['step']} weights {state['weights'].tolist()}", flush=True)
while state["step"] < 30:
    state["step"] += 1
    state["weights"] += run.rank + 1
    if state["step"] % 10 == 0: run.save(state, state["step"])
    WHAT
"""
CRASHES = """if state["step"] == 25 and run.attempt < 3:
        time.sleep(1.5); os.kill(os.getpid(), signal.SIGKILL)"""


def texts(job: JobHandle, rank: int = 0) -> list[str]:
    return [line["text"] for line in job.logs() if line["rank"] == rank]


@pytest.mark.parametrize("world_size", [1, 3])
def test_killed_ranks_go_on_from_their_newest_checkpoint(shared_fleet: Fleet, world_size: int) -> None:
    job = ended(shared_fleet.script(COUNTS.replace("WHAT", CRASHES), world_size=world_size))
    assert (job.status, job.data["retries_used"]) == ("succeeded", 2), job.data["sentence"]
    for rank in range(world_size):
        went = (rank + 1) * 20.0
        assert texts(job, rank) == [
            "attempt 1 from 0 weights [0.0, 0.0, 0.0]",
            f"attempt 2 from 20 weights [{went}, {went}, {went}]",
            f"attempt 3 from 20 weights [{went}, {went}, {went}]",
        ]
    assert [(one["attempt"], one["step"]) for one in job.data["checkpoints"]] == [(1, 10), (1, 20), (3, 30)]
    assert "Attempt 3 started from step 20." in shared_fleet.command("show", job.name).stdout


def test_a_damaged_checkpoint_is_dropped_for_the_one_before_and_that_is_said(fleet: Fleet) -> None:
    fleet.start_server()
    fleet.start_worker("one", slots=1)
    fleet.wait_for_workers(1)
    waits = 'if state["step"] == 25 and run.attempt == 1: time.sleep(300)'
    job = fleet.script(COUNTS.replace("WHAT", waits))
    wait_until(lambda: len(job.refresh().data["checkpoints"]) == 2, "two checkpoints")
    folder = fleet.home / "objects" / "checkpoints" / job.id / "1" / "20"
    (part,) = folder.iterdir()
    part.write_bytes(part.read_bytes()[:-1] + b"!")
    fleet.kill("one")
    fleet.start_worker("one", slots=1)
    assert ended(job).status == "succeeded"
    assert texts(job)[-1] == "attempt 3 from 10 weights [10.0, 10.0, 10.0]"
    assert "The checkpoint of step 20 is damaged and was dropped" in job.data["warnings"][0]


def test_old_checkpoints_are_swept_and_go_with_their_job(fleet: Fleet) -> None:
    fleet.start_server()
    fleet.start_worker("one", slots=1)
    fleet.wait_for_workers(1)
    source = "import headway\nfor step in range(1, 7): headway.run().save({'step': step}, step)"
    job = ended(fleet.script(source))
    assert [one["step"] for one in job.data["checkpoints"]] == [4, 5, 6]
    folder = fleet.home / "objects" / "checkpoints" / job.id

    def parts() -> set[Path]:
        return {path for path in folder.rglob("*") if path.is_file()}

    wait_until(lambda: {path.parent.name for path in parts()} == {"4", "5", "6"}, "the sweep")
    job.delete()
    assert parts() == set()


def test_saving_on_one_rank_only_is_warned_of_and_does_not_fill_the_store(fleet: Fleet) -> None:
    fleet.start_server()
    fleet.start_worker("one", slots=2)
    fleet.wait_for_workers(1)
    source = """
import headway, time
run = headway.run()
for step in range(1, 13):
    if run.rank == 0: run.save(step, step)
    time.sleep(0.2)
time.sleep(2)
"""
    job = fleet.script(source, world_size=2)
    wait_until(lambda: job.refresh().data["warnings"], "the warning")
    assert "was saved by 1 of 2 ranks only" in job.data["warnings"][0]
    folder = fleet.home / "objects" / "checkpoints" / job.id
    wait_until(lambda: len([path for path in folder.rglob("*") if path.is_file()]) <= 4, "the sweep")
    assert ended(job).status == "succeeded"


def test_a_cancelled_script_that_saves_in_time_can_be_gone_on_from(shared_fleet: Fleet) -> None:
    source = """
import headway, time
run = headway.run()
step = 0
while not run.should_stop:
    step += 1; run.log(step, loss=1.0); time.sleep(0.02)
run.save({"step": step}, step)
"""
    job = shared_fleet.script(source)
    wait_until(lambda: job.metrics(), "the first step")
    job.cancel()
    assert len(ended(job).data["checkpoints"]) == 1


def test_the_same_script_saves_and_restores_outside_headway(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = tmp_path / "script.py"
    script.write_text(COUNTS.replace("WHAT", 'if state["step"] == 25 and not os.environ.get("AGAIN"): sys.exit(1)'))
    for variables, words in (({}, "from 0 "), ({"AGAIN": "1"}, "from 20 ")):
        ran = subprocess.run(
            [sys.executable, str(script)], env={"PATH": "", **variables}, cwd=tmp_path, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert words in ran.stdout, ran.stderr
