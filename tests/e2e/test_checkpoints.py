"""`run.save` and `run.restore`: an attempt continues from the state of the previous one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from headway.client import JobHandle
from headway.errors import InvalidInput, NotFound
from tests.e2e.checkpointed import COUNTS, TRAINING, WAITS_ONCE, WAITS_TWICE, complete_steps, newest_step, texts
from tests.fleet import Fleet, ended, wait_until
from tests.random_kills import kill_a_rank


@pytest.mark.parametrize("world_size", [1, 3])
def test_killed_ranks_continue_from_their_newest_checkpoint(shared_fleet: Fleet, world_size: int) -> None:
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
def test_a_damaged_checkpoint_is_skipped_for_the_previous_one_with_a_warning(shared_fleet: Fleet, damage: str) -> None:
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


def test_saving_on_only_one_rank_warns_and_does_not_fill_the_store(shared_fleet: Fleet) -> None:
    source = """
import headway, time
run = headway.run()
for step in range(1, 15):
    if run.rank == 0: run.save(step, step)
    time.sleep(1)
"""
    job = shared_fleet.script(source, world_size=2)
    wait_until(lambda: job.refresh().data["warnings"], "the warning")
    assert "Only 1 of 2 ranks saved step" in job.data["warnings"][0]
    folder = shared_fleet.home / "objects" / "checkpoints" / job.id
    wait_until(lambda: len([path for path in folder.rglob("*") if path.is_file()]) <= 12, "the sweep")
    assert ended(job).status == "succeeded"


def test_at_another_world_size_the_losses_agree(shared_fleet: Fleet) -> None:
    """Two ranks save; one rank and four ranks continue with the same samples in the same order. Dropout is off."""
    with shared_fleet.client() as client:
        parameters = {"epochs": 100, "max_steps": 80, "batch_size": 40, "dropout": 0, "log_every_steps": 10}
        parameters["precision"] = "fp32"
        policy = {"every_steps": 45, "epoch_end": False, "every_seconds": None}
        whole = client.submit({**TRAINING, "parameters": parameters, "checkpoints": policy}).wait(progress=False)

        def losses(job: JobHandle) -> dict[int, float]:
            (series,) = (one for one in job.metrics().series if one["name"] == "train/loss")
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
        "Attempt 2 was given the checkpoint of step 20, but its script did not load it and started from the beginning. "
        "Call run.restore before training."
    ]
    assert job.attempts()[1]["repeats_steps"] == 25
    (series,) = job.metrics().series
    assert series["steps"] == list(range(1, 31))
    assert (
        "Attempt 2 started from the beginning. 25 logged steps were done again."
        in shared_fleet.command("show", job.name).stdout
    )


def test_repeated_steps_are_kept_and_marked(shared_fleet: Fleet) -> None:
    """The joined series has each step once. Points that the killed attempt logged after its checkpoint can still be
    read.
    """
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
    wait_until(lambda: complete_steps(job) == [10] and newest_step(job) == 17, "the steps after the checkpoint")
    kill_a_rank(shared_fleet, job)
    ended(job)
    (series,) = job.metrics().series
    assert series["steps"] == list(range(1, 31))
    assert series["values"] == [100.0 + step for step in range(1, 11)] + [200.0 + step for step in range(11, 31)]
    (first,) = job.metrics(attempt=1).series
    assert first["steps"] == list(range(1, 18))
    lines = [(line["attempt"], int(line["text"].split()[1]), line["repeated"]) for line in job.logs()]
    assert lines == [(1, step, step > 10) for step in range(1, 18)] + [(2, step, False) for step in range(11, 31)]
    printed = shared_fleet.command("logs", job.name).stdout
    assert "~ step 11" in printed
    assert "~" not in shared_fleet.command("logs", job.name, "--no-repeated").stdout
    assert "7 logged steps were done again" in shared_fleet.command("show", job.name).stdout


def test_a_checkpoint_of_a_newer_headway_is_skipped(shared_fleet: Fleet) -> None:
    job = shared_fleet.script(COUNTS.replace("WHAT", WAITS_ONCE))
    wait_until(lambda: complete_steps(job) == [10, 20], "two checkpoints")
    with closing(sqlite3.connect(shared_fleet.home / "headway.db")) as database, database:
        newer = "replace(document, '\"format\":2', '\"format\":3')"
        where = "step = 20 AND job = ?"
        database.execute(f"UPDATE checkpoint_parts SET document = {newer} WHERE {where}", (job.id,))  # noqa: S608
    kill_a_rank(shared_fleet, job)
    assert ended(job).status == "succeeded"
    assert texts(job)[-1] == "attempt 3 from 10 weights [10.0, 10.0, 10.0]"
    assert "format 3, but this worker's Headway reads formats up to 2: update the worker" in job.data["warnings"][0]


def test_a_policy_that_makes_no_sense_is_refused(shared_fleet: Fleet) -> None:
    with pytest.raises(InvalidInput, match="keep_best needs a metric"):
        shared_fleet.script("pass", checkpoints={"keep_best": 1})
    with pytest.raises(InvalidInput, match="every_steps"):
        shared_fleet.script("pass", checkpoints={"every_steps": 0})
    with pytest.raises(NotFound, match="Job not-there does not exist"):
        shared_fleet.script("pass", from_checkpoint="not-there@5")
    with pytest.raises(InvalidInput, match="from_checkpoint"):
        shared_fleet.script("pass", from_checkpoint="not there")
