"""Jobs that start from another job's checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.errors import Conflict
from tests.e2e.checkpointed import long_training, texts
from tests.fleet import Fleet, ended, wait_until


def test_a_fork_starts_from_another_jobs_checkpoint(shared_fleet: Fleet, tmp_path: Path) -> None:
    """Given a trained job, a fork continues from the requested step with other parameters, and says so."""
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
        rates = next(one for one in job.metrics().series if one["name"] == "train/learning_rate")
        assert rates["steps"][0] == 110
        assert max(rates["values"]) <= 0.0001
        assert f"Forked from checkpoint {source.name}@100 (attempt 1)." in shared_fleet.command("show", job.name).stdout
        wait_until(lambda: not any(one["users"] for one in source.checkpoints()), "the release of the source")
        refused = shared_fleet.command("rerun", source.name, "--from-checkpoint", f"{source.name}@77")
        assert refused.returncode == 1
        assert "no complete checkpoint of step 77. Its steps: 50, 100, 150, 200." in refused.stderr
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


def test_a_fork_whose_source_is_damaged_fails(shared_fleet: Fleet) -> None:
    source = ended(shared_fleet.script("import headway; headway.run().save({'step': 1}, 1)"))
    for part in (shared_fleet.home / "objects" / "checkpoints" / source.id).rglob("c-*"):
        part.write_bytes(b"changed")
    fork = ended(shared_fleet.script("import headway; print(headway.run().restore())", from_checkpoint=source.name))
    assert (fork.status, fork.data["reason"]) == ("failed", "checkpoint_lost")
    assert "no complete one is left" in fork.data["sentence"]
    assert texts(fork) == []
    source.delete()  # other tests back this fleet up
