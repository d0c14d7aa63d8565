"""Job files, from `init` to `rerun`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fleet import Fleet


def test_job_files_from_init_to_rerun(shared_fleet: Fleet, tmp_path: Path) -> None:
    folder = shared_fleet.desk / "project"
    folder.mkdir()
    assert shared_fleet.command("init", "project/job.yaml").returncode == 0
    again = shared_fleet.command("init", "project/job.yaml")
    assert (again.returncode, "exists already" in again.stderr) == (1, True)
    (folder / "train.py").write_text("import os; print('epochs', os.environ.get('EPOCHS'))")
    planned = shared_fleet.command("submit", "project/job.yaml", "--dry-run")
    assert "The job is valid. It would start at once." in planned.stdout, planned.stderr
    submitted = shared_fleet.command("submit", "project/job.yaml", "--name", "from-file", "--label", "team=audio")
    assert submitted.returncode == 0, submitted.stderr
    assert "epochs None" in submitted.stdout
    rerun = shared_fleet.command("rerun", "from-file", "--set", "epochs=3", "--name", "file-again")
    assert "epochs 3" in rerun.stdout
    rest = ("--memory", "1g", "--retries", "1", "--name", "file-third")
    third = shared_fleet.command(
        "rerun", "file-again", "--unset", "epochs", *rest, "--env", "EPOCHS=7", "--", "--lr", "0.2"
    )
    assert "epochs 7" in third.stdout, third.stderr
    spec = json.loads(shared_fleet.command("show", "file-third", "--json").stdout)["spec"]
    assert (spec["arguments"], spec["memory_bytes"], spec["retries"]) == (["--lr", "0.2"], 1 << 30, 1)
    fourth = shared_fleet.command(
        "rerun", "file-third", "--unset-env", "EPOCHS", "--label", "team=", "--name", "file-4th", "--"
    )
    assert "epochs None" in fourth.stdout, fourth.stderr
    spec = json.loads(shared_fleet.command("show", "file-4th", "--json").stdout)["spec"]
    assert (spec["arguments"], spec["labels"]) == ([], {})
    planned = shared_fleet.command("rerun", "file-4th", "--dry-run", "--env", "PYTHONHASHSEED=1", "--name", "never")
    assert "The job is valid. It would start at once." in planned.stdout
    assert "PYTHONHASHSEED" in planned.stdout
    refused = shared_fleet.command("rerun", "file-4th", "--unset-env", "NOT_THERE", "--dry-run")
    assert (refused.returncode, "env has no NOT_THERE" in refused.stderr) == (2, True)
    assert shared_fleet.command("edit", "file-again", "--notes", "worked", "--label", "team=").returncode == 0
    listed = json.loads(shared_fleet.command("jobs", "--label", "team=audio", "--json").stdout)
    assert [job["name"] for job in listed] == ["file-third", "from-file"]
    shown = shared_fleet.command("show", "file-again").stdout
    assert "Notes       worked" in shown
    (folder / "job.yaml").write_text("script: train.py\nworld_sise: 2\n")
    wrong = shared_fleet.command("submit", "project/job.yaml")
    assert (
        wrong.returncode,
        "job.yaml: world_sise: there is no such field. Did you mean world_size?" in wrong.stderr,
    ) == (2, True)
    (folder / "job.yaml").write_text("script: train.py\n")
    wrong = shared_fleet.command("submit", "project/job.yaml", "--priority", "9999")
    assert (wrong.returncode, "priority" in wrong.stderr, "Job file" in wrong.stderr) == (2, True, False)
    (folder / "job.yaml").write_text("script: [")
    broken = shared_fleet.command("submit", "project/job.yaml")
    assert (broken.returncode, "cannot be read" in broken.stderr) == (2, True)
