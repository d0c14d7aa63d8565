"""Files that jobs leave in their working directory are found by the next attempt, stored, or named."""

from __future__ import annotations

from pathlib import Path

from headway.client import JobHandle
from tests.fleet import Fleet, ended, wait_until

WITH_SNAPSHOT = """
import os, pathlib, signal, time
snapshot = pathlib.Path("snapshot.pt")
start = int(snapshot.read_text()) if snapshot.exists() else 0
print("starts at epoch", start, flush=True)
for epoch in range(start, 6):
    snapshot.write_text(str(epoch + 1))
    if epoch == 3 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def texts(job: JobHandle) -> list[str]:
    return [line["text"] for line in job.logs() if line["rank"] == 0]


def test_the_next_attempt_finds_the_snapshot_that_a_script_wrote_beside_itself(fleet: Fleet, tmp_path: Path) -> None:
    """Given a script written for torchrun, when it is killed, it continues, and its results are stored without an
    option.

    When a job is placed on another worker, a warning says which files it does not find there.
    """
    fleet.start_server()
    fleet.start_worker("one", slots=1)
    fleet.wait_for_workers(1)
    job = ended(fleet.script(WITH_SNAPSHOT))
    assert texts(job) == ["starts at epoch 0", "starts at epoch 4"]
    assert [one["name"] for one in job.data["artifacts"]] == ["snapshot.pt"]
    job.download(folder=tmp_path / "results")
    assert (tmp_path / "results" / "snapshot.pt").read_text() == "6"
    assert job.data["warnings"] == []
    first, second = job.attempts()
    assert first["placed_at"] < second["continued_from"] < first["ended_at"]
    kept = next(event for event in job.events() if event["type"] == "working_directory.kept")
    assert kept["data"] == {"attempt": 2, "worker": "one", "files": 1}

    writes = "open('state', 'w').write('x'); print('wrote'); import time; time.sleep(300)"
    moved = fleet.script("import os\nprint(os.path.exists('state'), flush=True)\n" + writes, name="moved")
    wait_until(lambda: len(texts(moved)) == 2, "the file")
    paused = fleet.command("pause", "moved").stdout
    assert paused == (
        "Job moved has saved no checkpoint. If it saves none now, it will start from the beginning. "
        "Resume it with: headway resume moved\n"
    )
    wait_until(lambda: moved.refresh().status == "queued", "the pause")
    assert moved.data["sentence"] == (
        "Paused. Resume it with `headway resume moved`. It saved no checkpoint, so it will start from the beginning. "
        "On worker one it will find the files that it left in its working directory."
    )
    assert moved.data["resumes_from"] is None
    fleet.start_worker("two", slots=1)
    fleet.wait_for_workers(2)
    assert fleet.command("workers", "drain", "one").returncode == 0
    moved.resume()
    wait_until(lambda: len(texts(moved)) == 4, "the second attempt")
    (warning,) = moved.refresh().data["warnings"]
    assert warning == (
        "Attempt 2 starts on worker two without the files that attempt 1 left in its working directory on worker one: "
        "state (1 B). Write files that the next attempt needs to HEADWAY_CHECKPOINT_DIRECTORY."
    )
    moved.cancel(kill=True)
    assert ended(moved).status == "cancelled"
    warning = moved.data["warnings"][-1]
    assert (
        "1 file of the working directory on worker two was not kept: state (1 B). To keep such a file, "
        "give `--output 'state'`" in warning
    )
    folder = Path(warning.rpartition("keeps the working directory in ")[2].partition(" until ")[0])
    assert (folder / "state").read_text() == "x"
    assert warning in fleet.command("show", "moved").stdout


def test_sent_files_are_no_outputs_and_links_are_restored(shared_fleet: Fleet, tmp_path: Path) -> None:
    """Given sent files that an output pattern matches, only files that the script wrote or changed are stored."""
    desk = tmp_path / "project"
    desk.mkdir()
    (desk / "pretrained.pt").write_text("sent")
    (desk / "tuned.pt").write_text("sent")
    (desk / "t.py").write_text(
        "import os\nopen('final.pt', 'w').write('x'); open('tuned.pt', 'a').write(' and tuned')\n"
        "os.symlink('final.pt', 'best.pt'); os.symlink('/etc/hostname', 'outside.pt')\n"
        "os.chdir(os.environ['HEADWAY_OUTPUT_DIRECTORY']); os.makedirs('run-1'); open('run-1/a', 'w').write('a')\n"
        "os.symlink('run-1', 'latest')\n"
    )
    with shared_fleet.client() as client:
        job = client.run_script(desk / "t.py", outputs=["*.pt"]).wait()
        stored = {one["name"]: one["link_to"] for one in job.data["artifacts"]}
        assert stored == {
            "final.pt": None, "tuned.pt": None, "best.pt": "final.pt", "run-1/a": None, "latest/a": "run-1/a",
        }  # fmt: skip
        assert any(one.startswith("outside.pt was not stored: it is a link") for one in job.data["warnings"])
        job.download(folder=tmp_path / "results")
        assert (tmp_path / "results" / "tuned.pt").read_text() == "sent and tuned"
        assert (tmp_path / "results" / "best.pt").readlink() == Path("final.pt")
        assert (tmp_path / "results" / "latest" / "a").read_text() == "a"
