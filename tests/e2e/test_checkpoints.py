"""`run.save` and `run.restore`: an attempt goes on where the one before had come to."""

from __future__ import annotations

import os
import pickle
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import headway
from headway.client import JobHandle
from headway.errors import Conflict, InvalidInput, NotFound
from tests.fleet import Fleet, ended, wait_until
from tests.strikes import kill_a_rank

COUNTS = """
import headway, os, sys, time, torch
run = headway.run()
state = run.restore() or {"step": 0, "weights": torch.zeros(3)}
print(f"attempt {run.attempt} from {state['step']} weights {state['weights'].tolist()}", flush=True)
while state["step"] < 30:
    state["step"] += 1
    state["weights"] += run.rank + 1
    if state["step"] % 10 == 0: run.save(state, state["step"])
    WHAT
"""
WAITS_ONCE = 'if state["step"] == 25 and run.attempt == 1: time.sleep(300)'
WAITS_TWICE = 'if state["step"] == 25 and run.attempt < 3: time.sleep(300)'


def texts(job: JobHandle, rank: int = 0) -> list[str]:
    return [line["text"] for line in job.logs() if line["rank"] == rank]


def newest_step(job: JobHandle) -> int | None:
    return max((step for one in job.metrics() for step in one["steps"]), default=None)


def complete_steps(job: JobHandle) -> list[int]:
    return [one["step"] for one in job.checkpoints() if one["complete"]]


@pytest.mark.parametrize("world_size", [1, 3])
def test_killed_ranks_go_on_from_their_newest_checkpoint(shared_fleet: Fleet, world_size: int) -> None:
    job = shared_fleet.script(COUNTS.replace("WHAT", WAITS_TWICE), world_size=world_size)
    wait_until(lambda: complete_steps(job) == [10, 20], "two checkpoints")
    kill_a_rank(shared_fleet, job)
    wait_until(lambda: len([line for line in job.logs() if line["attempt"] == 2]) == world_size, "the second attempt")
    kill_a_rank(shared_fleet, job)
    ended(job)
    assert (job.status, job.data["retries_used"]) == ("succeeded", 2), job.data["sentence"]
    for rank in range(world_size):
        went = (rank + 1) * 20.0
        assert texts(job, rank) == [
            "attempt 1 from 0 weights [0.0, 0.0, 0.0]",
            f"attempt 2 from 20 weights [{went}, {went}, {went}]",
            f"attempt 3 from 20 weights [{went}, {went}, {went}]",
        ]
    assert [(one["attempt"], one["step"]) for one in job.data["checkpoints"]] == [(1, 10), (1, 20), (3, 30)]
    assert "Attempt 3 continued from step 20." in shared_fleet.command("show", job.name).stdout


@pytest.mark.parametrize("damage", ["changed", "cut off", "gone"])
def test_a_damaged_checkpoint_is_dropped_for_the_one_before_and_that_is_said(shared_fleet: Fleet, damage: str) -> None:
    job = shared_fleet.script(COUNTS.replace("WHAT", WAITS_ONCE))
    wait_until(lambda: complete_steps(job) == [10, 20], "two checkpoints")
    folder = shared_fleet.home / "objects" / "checkpoints" / job.id / "1" / "20"
    (part,) = folder.iterdir()
    match damage:
        case "changed":
            part.write_bytes(part.read_bytes()[:-1] + b"!")
        case "cut off":
            part.write_bytes(part.read_bytes()[:-100])
        case _:
            part.unlink()
    kill_a_rank(shared_fleet, job)
    assert ended(job).status == "succeeded"
    assert texts(job)[-1] == "attempt 3 from 10 weights [10.0, 10.0, 10.0]"
    assert "The checkpoint of step 20 is damaged and was dropped" in job.data["warnings"][0]


def test_old_checkpoints_are_swept_and_go_with_their_job(shared_fleet: Fleet) -> None:
    source = "import headway\nfor step in range(1, 7): headway.run().save({'step': step}, step)"
    job = ended(shared_fleet.script(source))
    assert [one["step"] for one in job.data["checkpoints"]] == [4, 5, 6]
    folder = shared_fleet.home / "objects" / "checkpoints" / job.id

    def parts() -> set[Path]:
        return {path for path in folder.rglob("*") if path.is_file()}

    wait_until(lambda: {path.parent.name for path in parts()} == {"4", "5", "6"}, "the sweep")
    job.delete()
    assert parts() == set()


def test_saving_on_one_rank_only_is_warned_of_and_does_not_fill_the_store(shared_fleet: Fleet) -> None:
    source = """
import headway, time
run = headway.run()
for step in range(1, 15):
    if run.rank == 0: run.save(step, step)
    time.sleep(1)
"""
    job = shared_fleet.script(source, world_size=2)
    wait_until(lambda: job.refresh().data["warnings"], "the warning")
    assert "was saved by 1 of 2 ranks only" in job.data["warnings"][0]
    folder = shared_fleet.home / "objects" / "checkpoints" / job.id
    wait_until(lambda: len([path for path in folder.rglob("*") if path.is_file()]) <= 12, "the sweep")
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
    assert ended(job).status == "cancelled"
    assert len(job.data["checkpoints"]) == 1


def test_the_same_script_saves_and_restores_outside_headway(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(COUNTS.replace("WHAT", 'if state["step"] == 25 and not os.environ.get("AGAIN"): sys.exit(1)'))
    for variables, words in (({}, "from 0 "), ({"AGAIN": "1"}, "from 20 ")):
        ran = subprocess.run(
            [sys.executable, str(script)], env={"PATH": "", **variables}, cwd=tmp_path, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert words in ran.stdout, ran.stderr


def test_ranks_that_are_started_again_go_on_outside_headway_too(tmp_path: Path) -> None:
    """Given the drill's training under torchrun, whose rank 1 has rank 0's state, a second start changes no weight.

    Each start is a torchrun of its own: one that restarts its ranks itself does not come back each time.
    """
    script = Path(headway.__file__).parent / "drill" / "training.py"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--redirects=3"]
    weights, first_steps = [], []
    for folder, troubles in (("alone", [""]), ("killed", ["SIGKILL", ""])):
        (tmp_path / folder).mkdir()
        for number, trouble in enumerate(troubles):
            ran = subprocess.run(
                [*torchrun, f"--log-dir={tmp_path / folder / f'logs-{number}'}", str(script)],
                cwd=tmp_path / folder, env={**os.environ, "TROUBLE": trouble, "OMP_NUM_THREADS": "1"},
                capture_output=True, check=False,
            )  # fmt: skip
            assert (ran.returncode == 0) == (not trouble), ran.stderr
        (log,) = (tmp_path / folder / f"logs-{number}").glob("*/attempt_0/0/stdout.log")
        lines = log.read_text().splitlines()
        first_steps.append(int(lines[0].removeprefix("step ")))
        weights.append(lines[-1])
    assert first_steps[0] == 1
    assert first_steps[1] in (41, 61), "it goes on behind the newest step that both ranks had saved when one was killed"
    assert weights[0] == weights[1]


TRAINING = {"trainer": "mlp", "dataset": "digits", "world_size": 2}
OFTEN = {"every_steps": 20, "every_seconds": None}


def long_training(steps: int = 1200, **changes: Any) -> dict[str, Any]:
    parameters = {"epochs": 10_000, "max_steps": steps, "batch_size": 32, "log_every_steps": 10}
    return {**TRAINING, "parameters": parameters, "checkpoints": OFTEN, **changes}


def test_a_paused_training_goes_on_where_it_stood(shared_fleet: Fleet) -> None:
    """Given a training, when it is paused, its ranks save and leave; resumed, it ends as if nothing had been."""
    spec = long_training(checkpoints={"every_seconds": None, "epoch_end": False})
    with shared_fleet.client() as client:
        alone = client.submit(spec).wait(progress=False)
        job = client.submit(spec)
        wait_until(lambda: job.metrics(), "the first metrics")
        assert "saves and ends its ranks" in shared_fleet.command("pause", job.name).stdout
        wait_until(lambda: job.refresh().status == "queued", "the pause")
        assert (job.data["hold"], job.data["retries_used"], job.data["attempt"]["reason"]) == (True, 0, "paused")
        (saved,) = job.checkpoints()
        shown = shared_fleet.command("show", job.name).stdout
        assert f"Paused at step {saved['step']}. `headway resume {job.name}` lets it continue." in shown
        assert "paused" in shared_fleet.command("jobs").stdout
        time.sleep(1.0)
        assert job.refresh().data["attempt"]["number"] == 1, "a paused job was placed"
        assert shared_fleet.command("resume", job.name).returncode == 0
        assert ended(job).status == "succeeded"
        assert job.attempts()[1]["restored_step"] == saved["step"]
        assert job.result == alone.result
        assert shared_fleet.command("resume", job.name).returncode == 1
        assert shared_fleet.command("pause", job.name).returncode == 1


def test_a_paused_job_in_the_queue_lets_others_pass(shared_fleet: Fleet) -> None:
    held = shared_fleet.script("print('ran')", world_size=1000)
    held.pause()
    assert (held.data["status"], held.data["hold"]) == ("queued", True)
    assert ended(shared_fleet.script("print('ran')")).status == "succeeded"
    held.cancel()
    assert (held.status, held.data["hold"]) == ("cancelled", False)


def test_all_ranks_of_a_script_agree_on_when_to_save_and_stop(shared_fleet: Fleet) -> None:
    source = """
import headway, time, torch.distributed as dist
run = headway.run()
dist.init_process_group("gloo")
step = (run.restore() or {"step": 0})["step"]
print("from", step, flush=True)
saved = []
while step < 100_000 and not (run.attempt > 1 and step > 200_000):
    step += 1
    time.sleep(0.002 * (1 + run.rank))
    dist.barrier()
    if run.rank == 0: run.log(step, x=1.0)
    if run.should_save(step): run.save({"step": step}, step); saved.append(step)
    if run.should_stop: break
    if run.attempt == 2: break
print("saved", saved[-3:], flush=True)
"""
    job = shared_fleet.script(source, world_size=2, checkpoints={"every_seconds": 0.5, "keep_newest": 2})
    wait_until(lambda: len(job.refresh().data["checkpoints"]) == 2, "checkpoints by time")
    job.pause()
    wait_until(lambda: job.refresh().status == "queued", "the pause")
    job.resume()
    assert ended(job).status == "succeeded", job.data
    last = job.attempts()[1]["restored_step"]
    for rank in (0, 1):
        words = texts(job, rank)
        assert words[0] == "from 0"
        assert words[1].startswith("saved [")
        assert words[1].endswith(f"{last}]"), "the ranks did not save the same step at the end"
        assert words[2] == f"from {last}"


def test_a_fork_starts_from_another_jobs_checkpoint(shared_fleet: Fleet, tmp_path: Path) -> None:
    """Given a trained job, a fork goes on from the step that is asked for, with other parameters, and says so."""
    with shared_fleet.client() as client:
        policy = {"every_steps": 50, "epoch_end": False, "every_seconds": None, "keep_newest": 4}
        source = client.submit(long_training(200, checkpoints=policy)).wait(progress=False)
        steps = [one["step"] for one in source.checkpoints()]
        assert steps == [50, 100, 150, 200]
        fork = "--set", "max_steps=260", "--set", "learning_rate=0.0001", "--name", "fork-of-it"
        ran = shared_fleet.command("rerun", source.name, "--from-checkpoint", f"{source.name}@100", *fork)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        job = client.job("fork-of-it")
        origin = job.data["origin"]
        assert (origin["job"], origin["step"], origin["attempt"]) == (source.id, 100, 1)
        rates = next(one for one in job.metrics() if one["name"] == "train/learning_rate")
        assert rates["steps"][0] == 110
        assert max(rates["values"]) <= 0.0001
        assert f"Forked from checkpoint {source.name}@100 (attempt 1)." in shared_fleet.command("show", job.name).stdout
        wait_until(lambda: not any(one["users"] for one in source.checkpoints()), "the release of the source")
        refused = shared_fleet.command("rerun", source.name, "--from-checkpoint", f"{source.name}@77")
        assert refused.returncode == 1
        assert "no complete checkpoint of step 77. Steps it has: 50, 100, 150, 200." in refused.stderr
        assert (
            shared_fleet.command("download", source.name, "--checkpoint", "150", "--to", str(tmp_path)).returncode == 0
        )
        import torch

        part = torch.load(tmp_path / "step-150" / "rank-0.pt", weights_only=True)
        assert (part["step"], part["state"]["step"]) == (150, 150)
        listed = shared_fleet.command("checkpoints", source.name).stdout
        assert "STEP" in listed
        assert "complete" in listed
        assert "validation/loss" in listed


def test_a_forks_source_is_kept_while_it_is_needed(shared_fleet: Fleet, tmp_path: Path) -> None:
    source = ended(shared_fleet.script("import headway; headway.run().save({'step': 1}, 1)"))
    checked = tmp_path / "checked"
    reads = f"""
import headway, pathlib, time
while not pathlib.Path({str(checked)!r}).exists(): time.sleep(0.05)
print(headway.run().restore())
"""
    fork = shared_fleet.script(reads, from_checkpoint=source.name)
    with pytest.raises(Conflict, match=f"Job {fork.id} started from a checkpoint of job {source.name}"):
        source.delete()
    assert source.checkpoints()[0]["users"] == [fork.id]
    checked.touch()
    assert texts(ended(fork)) == ["{'step': 1}"]
    wait_until(lambda: not source.checkpoints()[0]["users"], "the release")
    source.delete()


def test_a_fork_whose_source_is_damaged_fails_rather_than_begin_anew(shared_fleet: Fleet) -> None:
    source = ended(shared_fleet.script("import headway; headway.run().save({'step': 1}, 1)"))
    for part in (shared_fleet.home / "objects" / "checkpoints" / source.id).rglob("c-*"):
        part.write_bytes(b"changed")
    fork = ended(shared_fleet.script("import headway; print(headway.run().restore())", from_checkpoint=source.name))
    assert (fork.status, fork.data["reason"]) == ("failed", "checkpoint_lost")
    assert "no complete one is left" in fork.data["sentence"]
    assert texts(fork) == []
    source.delete()  # other tests back this fleet up


def test_at_another_world_size_the_losses_agree(shared_fleet: Fleet) -> None:
    """Two ranks save; one, and four, go on with the same samples in the same order. Dropout is off."""
    with shared_fleet.client() as client:
        parameters = {"epochs": 100, "max_steps": 80, "batch_size": 40, "dropout": 0, "log_every_steps": 10}
        parameters["precision"] = "fp32"
        policy = {"every_steps": 45, "epoch_end": False, "every_seconds": None}
        whole = client.submit({**TRAINING, "parameters": parameters, "checkpoints": policy}).wait(progress=False)

        def losses(job: JobHandle) -> dict[int, float]:
            (series,) = (one for one in job.metrics() if one["name"] == "train/loss")
            return dict(zip(series["steps"], series["values"], strict=True))

        for world_size in (1, 4):
            other = whole.rerun(world_size=world_size, from_checkpoint=f"{whole.name}@45").wait(progress=False)
            found = losses(other)
            assert list(found) == [50, 60, 70, 80]
            assert found == pytest.approx({step: losses(whole)[step] for step in found}, rel=1e-3)


def test_the_best_are_kept_beside_the_newest(shared_fleet: Fleet) -> None:
    source = """
import headway, time
run = headway.run()
for step, loss in enumerate([5.0, 1.0, 4.0, float("nan"), 3.0, 2.0], 1):
    run.log(step, **{"validation/loss": loss}); run.save(step, step)
"""
    policy = {"keep_newest": 1, "keep_best": 2, "metric": "validation/loss"}
    job = ended(shared_fleet.script(source.replace("run.save", "time.sleep(0.4); run.save"), checkpoints=policy))
    kept = {one["step"]: one["metrics"] for one in job.checkpoints()}
    assert kept == {2: {"validation/loss": 1.0}, 6: {"validation/loss": 2.0}}


def test_a_script_that_never_loads_its_checkpoint_is_warned(shared_fleet: Fleet) -> None:
    source = """
import headway, time
run = headway.run()
for step in range(1, 31):
    print("step", step, flush=True)
    run.log(step, loss=1.0 / step)
    if step == 20 and run.attempt == 1: run.save({}, step)
    if step == 25 and run.attempt == 1: time.sleep(300)
"""
    job = shared_fleet.script(source)
    wait_until(lambda: complete_steps(job) and newest_step(job) == 25, "the checkpoint, and the steps behind it")
    kill_a_rank(shared_fleet, job)
    ended(job)
    assert job.data["warnings"] == [
        "Attempt 2 was given the checkpoint of step 20, but its script did not load it: it started from the beginning. "
        "Call run.restore before training."
    ]
    assert job.attempts()[1]["repeats_steps"] == 25
    (series,) = job.metrics()
    assert series["steps"] == list(range(1, 31))
    assert (
        "Attempt 2 started from the beginning. 25 logged steps were done again."
        in shared_fleet.command("show", job.name).stdout
    )


def test_what_was_done_again_is_kept_and_marked(shared_fleet: Fleet) -> None:
    """One line for charts, each step once; what the killed attempt logged behind its checkpoint can still be read."""
    source = """
import headway, time
run = headway.run()
step = (run.restore() or {"step": 0})["step"]
while step < 30:
    step += 1
    print("step", step, flush=True)
    run.log(step, loss=run.attempt * 100.0 + step)
    if step % 10 == 0: run.save({"step": step}, step)
    if step == 17 and run.attempt == 1: time.sleep(300)
"""
    job = shared_fleet.script(source)
    wait_until(lambda: complete_steps(job) == [10] and newest_step(job) == 17, "the steps behind the checkpoint")
    kill_a_rank(shared_fleet, job)
    ended(job)
    (series,) = job.metrics()
    assert series["steps"] == list(range(1, 31))
    assert series["values"] == [100.0 + step for step in range(1, 11)] + [200.0 + step for step in range(11, 31)]
    (first,) = job.metrics(attempt=1)
    assert first["steps"] == list(range(1, 18))
    lines = [(line["attempt"], int(line["text"].split()[1]), line["repeated"]) for line in job.logs()]
    assert lines == [(1, step, step > 10) for step in range(1, 18)] + [(2, step, False) for step in range(11, 31)]
    printed = shared_fleet.command("logs", job.name).stdout
    assert "~ step 11" in printed
    assert "~" not in shared_fleet.command("logs", job.name, "--no-repeated").stdout
    assert "7 logged steps were done again" in shared_fleet.command("show", job.name).stdout


def test_a_checkpoint_of_a_newer_headway_is_passed_over(shared_fleet: Fleet) -> None:
    job = shared_fleet.script(COUNTS.replace("WHAT", WAITS_ONCE))
    wait_until(lambda: complete_steps(job) == [10, 20], "two checkpoints")
    with closing(sqlite3.connect(shared_fleet.home / "headway.db")) as database, database:
        newer = "replace(document, '\"format\":2', '\"format\":3')"
        where = "step = 20 AND job = ?"
        database.execute(f"UPDATE checkpoint_parts SET document = {newer} WHERE {where}", (job.id,))  # noqa: S608
    kill_a_rank(shared_fleet, job)
    assert ended(job).status == "succeeded"
    assert texts(job)[-1] == "attempt 3 from 10 weights [10.0, 10.0, 10.0]"
    assert "format 3, and this worker's Headway reads up to 2: update the worker" in job.data["warnings"][0]


def test_a_policy_that_makes_no_sense_is_refused(shared_fleet: Fleet) -> None:
    with pytest.raises(InvalidInput, match="keep_best needs a metric"):
        shared_fleet.script("pass", checkpoints={"keep_best": 1})
    with pytest.raises(InvalidInput, match="every_steps"):
        shared_fleet.script("pass", checkpoints={"every_steps": 0})
    with pytest.raises(NotFound, match="Job not-there does not exist"):
        shared_fleet.script("pass", from_checkpoint="not-there@5")
    with pytest.raises(InvalidInput, match="from_checkpoint"):
        shared_fleet.script("pass", from_checkpoint="not there")


def test_parts_of_the_first_format_still_load(tmp_path: Path) -> None:
    """Version 0.1 saved the state alone; a job that it began goes on under this one."""
    import torch

    from headway.training.run import Run

    run = Run({"HEADWAY_OUTPUT_DIRECTORY": str(tmp_path)})
    path = tmp_path / "checkpoints" / "20" / "rank-0"
    path.parent.mkdir(parents=True)
    torch.save({"step": 20, "weights": torch.ones(3)}, path)
    assert run.restore()["step"] == 20
    path.write_bytes(pickle.dumps({"step": 21}))
    assert run.restore() == {"step": 21}
