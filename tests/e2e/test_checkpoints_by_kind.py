"""All kinds of checkpoints: files of any program, Lightning's, sharded models, models by name."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest

from headway.client import JobHandle
from tests.fleet import Fleet, ended, has_checkpoint, wait_until
from tests.random_kills import kill_a_rank

EXAMPLES = Path(__file__).parents[2] / "examples"


def texts(job: JobHandle, rank: int = 0) -> list[str]:
    return [line["text"] for line in job.logs() if line["rank"] == rank]


def test_files_that_a_program_writes_are_kept_and_given_back(shared_fleet: Fleet, tmp_path: Path) -> None:
    """Given a program that only writes to a directory, when it is killed, it continues from its newest file."""
    with shared_fleet.client() as client:
        job = client.run_script(EXAMPLES / "frameworks" / "pytorch_files.py", variables={"STEPS": "150"})
        wait_until(lambda: has_checkpoint(job), "the first checkpoint")
        kill_a_rank(shared_fleet, job)
        assert ended(job).status == "succeeded"
        first, *_, last = texts(job)
        again = next(text for text in texts(job)[1:] if text.startswith("from step"))
        assert (first, last) == ("from step 0", "through at step 150")
        kept = job.attempts()[1]["restored_step"]
        assert again == f"from step {kept}"
        assert kept >= 10
        newest = job.checkpoints()[-1]
        assert (newest["step"], newest["kind"], newest["complete"]) == (150, "files", True)
        (archive,) = job.download_checkpoint(150, tmp_path)
        with tarfile.open(archive) as tar:
            assert "step-150.pt" in tar.getnames()


def test_half_written_files_are_never_kept(shared_fleet: Fleet, tmp_path: Path) -> None:
    """Given a program that is killed while it writes a file, it gets back the files of before."""
    kept = tmp_path / "kept"
    script = """
set -e
cd "$HEADWAY_CHECKPOINT_DIRECTORY"
echo "found $(ls | tr '\\n' ' ')"
if [ "$HEADWAY_ATTEMPT" = 1 ]; then
    echo whole > state-7
    until [ -e "$KEPT" ]; do sleep 0.05; done
    exec 3> state-8
    echo half >&3
    sleep 1.5
    kill -9 $$
fi
cat state-7 > /dev/null
"""
    with shared_fleet.client() as client:
        job = client.submit({"command": ["bash", "-c", script], "variables": {"KEPT": str(kept)}})
        wait_until(lambda: has_checkpoint(job), "the first checkpoint")
        kept.touch()
        assert ended(job).status == "succeeded", job.data
        assert texts(job) == ["found ", "found state-7 "]
        assert job.attempts()[1]["restored_step"] == 7
        assert job.data["warnings"] == []


def test_a_link_to_the_newest_file_is_kept_and_only_reading_counts_as_restored(
    shared_fleet: Fleet, tmp_path: Path
) -> None:
    """Given files and a link to the newest, the next attempt continues from it; one that reads nothing does not."""
    source = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(os.environ["HEADWAY_CHECKPOINT_DIRECTORY"])
latest = folder / "latest.pt"
start = int(latest.read_text()) if "read" in sys.argv and latest.exists() else 0
print("starts at", start, len(list(folder.iterdir())), flush=True)
if os.environ["HEADWAY_ATTEMPT"] == "1":
    (folder / "step-4.pt").write_text("4")
    (folder / "latest.tmp").symlink_to("step-4.pt")
    (folder / "latest.tmp").rename(latest)
    (folder / "outside.pt").symlink_to("/etc/hostname")
    while not os.path.exists(sys.argv[1]): time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    go = tmp_path / "go"
    reads, ignores = shared_fleet.script(source, str(go), "read"), shared_fleet.script(source, str(go))
    wait_until(
        lambda: all(has_checkpoint(job) and job.refresh().data["warnings"] for job in (reads, ignores)), "saving"
    )
    go.touch()
    assert texts(ended(reads)) == ["starts at 0 0", "starts at 4 2"]
    assert texts(ended(ignores)) == ["starts at 0 0", "starts at 0 2"]
    assert [job.attempts()[1]["restored_step"] for job in (reads, ignores)] == [4, None]
    left_out = "The checkpoint of step 4 lacks outside.pt: only links to files in the checkpoint directory are kept."
    assert reads.data["warnings"] == [left_out]
    assert ignores.data["warnings"] == [
        left_out,
        "Attempt 2 was given the checkpoint of step 4, but no rank read its files in HEADWAY_CHECKPOINT_DIRECTORY. It "
        "probably started from the beginning.",
    ]


def test_a_script_can_save_a_folder(shared_fleet: Fleet) -> None:
    source = """
import headway, pathlib, time
run = headway.run()
folder = pathlib.Path("mine"); folder.mkdir(exist_ok=True)
back = run.restore()
print("restored", run.restored_step, back and (back / "weights.txt").read_text())
if run.attempt == 1:
    for step in (3, 4):
        (folder / "weights.txt").write_text(f"after {step}")
        run.save(folder, step)
    time.sleep(300)
"""
    job = shared_fleet.script(source)
    wait_until(lambda: [one["step"] for one in job.checkpoints()] == [3, 4], "both checkpoints")
    kill_a_rank(shared_fleet, job)
    assert texts(ended(job)) == ["restored None None", "restored 4 after 4"]


def test_lightning_continues_from_its_own_checkpoint(shared_fleet: Fleet) -> None:
    with shared_fleet.client() as client:
        script = EXAMPLES / "frameworks" / "lightning_resume.py"
        arguments = ["--devices", "2", "--epochs", "8", "--pause", "0.3"]
        job = client.run_script(script, arguments=arguments, world_size=2)
        wait_until(lambda: has_checkpoint(job), "the first checkpoint")
        kill_a_rank(shared_fleet, job)
        assert ended(job).status == "succeeded", job.data
        assert texts(job)[-1] == "trained to step 64"
        restored = job.attempts()[1]["restored_step"]
        assert restored in range(8, 64, 8)
        (series,) = (one for one in job.metrics().series if one["name"] == "train/loss")
        assert series["steps"] == sorted(set(series["steps"])), "a step is there twice"


SHARDED = """
import headway, sys, time, torch, torch.distributed as dist
from torch.distributed.fsdp import fully_shard
run = headway.run()
dist.init_process_group("gloo")
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Tanh(), torch.nn.Linear(32, 4))
for layer in (model[0], model[2], model): fully_shard(layer)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
state = {"model": model, "optimizer": optimizer, "note": "of rank %d" % run.rank}
saved = run.restore(state)
first = run.restored_step or 0
if run.rank == 0: print("from", first, "of", run.world_size, saved and saved["note"], flush=True)
for step in range(first + 1, 41):
    inputs = torch.randn(8, 8, generator=torch.Generator().manual_seed(step))
    loss = model(inputs).pow(2).mean()
    optimizer.zero_grad(); loss.backward(); optimizer.step()
    run.log(step, loss=loss.item())
    if step % 10 == 0: run.save(state, step)
    if step == 35 and run.attempt == 1 and len(sys.argv) > 1: time.sleep(300)
if run.rank == 0: print("loss", loss.item())
"""


def test_sharded_models_are_restored_at_any_world_size(shared_fleet: Fleet) -> None:
    """FSDP2 by torch.distributed.checkpoint: two ranks save, and two or three ranks continue."""
    alone = ended(shared_fleet.script(SHARDED, world_size=2))
    assert alone.status == "succeeded", alone.data
    broken = shared_fleet.script(SHARDED, "break", world_size=2)
    wait_until(lambda: any(one["step"] == 30 and one["complete"] for one in broken.checkpoints()), "a checkpoint")
    kill_a_rank(shared_fleet, broken)
    assert (ended(broken).status, broken.data["checkpoints"][-1]["kind"]) == ("succeeded", "shards"), broken.data
    assert "from 30 of 2 of rank 0" in texts(broken)
    assert texts(broken)[-1] == texts(alone)[-1]
    wider = ended(alone.rerun(world_size=3, from_checkpoint=f"{alone.name}@20"))
    assert wider.status == "succeeded", wider.data
    assert "from 20 of 3 of rank 0" in texts(wider)
    loss, wider_loss = (float(texts(job)[-1].split()[1]) for job in (alone, wider))
    assert wider_loss == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("world_size", [1, 3])
def test_models_optimizers_and_batches_come_back_by_name(shared_fleet: Fleet, world_size: int) -> None:
    """Given a script as in the tutorial, when its ranks are killed, its weights are those of an uninterrupted run."""
    arguments = ["--epochs", {1: "150", 3: "30"}[world_size], "--save-steps", "50"]
    with shared_fleet.client() as client:
        fields: dict[str, Any] = {"arguments": arguments, "world_size": world_size, "data": "digits"}
        alone = ended(client.run_script(EXAMPLES / "resume.py", **fields))
        broken = client.run_script(EXAMPLES / "resume.py", **fields)
        for number in (1, 2):
            wait_until(
                lambda number=number: any(one["attempt"] == number for one in broken.checkpoints()), "a checkpoint"
            )
            kill_a_rank(shared_fleet, broken)
        assert ended(broken).status == "succeeded", broken.data
        assert broken.data["retries_used"] == 2
        words = [text for text in texts(broken) if text.startswith("weights")]
        assert words == [text for text in texts(alone) if text.startswith("weights")]
        lines = [[one["steps"], one["values"]] for job in (alone, broken) for one in job.metrics(points=100_000).series]
        assert lines[:world_size] == lines[world_size:]
