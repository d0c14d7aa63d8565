"""A job's working directory on a worker: kept between attempts, its new files, and when it is removed."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from headway.folders import remove
from headway.worker.outputs import MAXIMUM_UNASKED_FILES, Outputs, find_outputs
from headway.worker.work_folders import ChangedFile, WorkFolders

pytestmark = pytest.mark.anyio
SENT = {"train.py": "x = 1", "pretrained.pt": "weights", "data/table.csv": "1,2"}


def folders(home: Path, **changes: float) -> WorkFolders:
    bounds = {"maximum_bytes": 1 << 30, "retention_seconds": 100.0, "unasked_bytes": 1 << 20, **changes}
    return WorkFolders(home, **bounds)  # type: ignore[arg-type]


async def send(work: Path) -> None:
    for name, text in SENT.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    (work / "link").symlink_to("train.py")


async def refuse(_work: Path) -> None:
    raise AssertionError("it is there already")


def names(found: list[ChangedFile]) -> list[str]:
    return [file.name for file in found if not file.cache]


async def test_the_next_attempt_finds_files_of_the_previous_one(tmp_path: Path) -> None:
    """Given an attempt that wrote a file, when the next one starts, even after a restart of the worker, the file is
    there.
    """
    first = folders(tmp_path)
    assert await first.open("j-1", send)
    (first.path("j-1") / "snapshot.pt").write_text("epoch 4")
    await first.close("j-1", unstored=False)
    assert not await folders(tmp_path).open("j-1", refuse)
    assert (folders(tmp_path).path("j-1") / "snapshot.pt").read_text() == "epoch 4"


def test_users_are_told_an_absolute_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert folders(Path("home")).folder("j-1") == tmp_path / "home" / "jobs" / "j-1"


async def test_a_partly_filled_directory_is_filled_again(tmp_path: Path) -> None:
    async def breaks(work: Path) -> None:
        await send(work)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        await folders(tmp_path).open("j-1", breaks)
    assert list((tmp_path / "jobs" / "j-1").iterdir()) == [], "a partly filled directory would take space"
    assert await folders(tmp_path).open("j-1", send)
    assert folders(tmp_path).changed("j-1") == []


async def test_a_directory_that_a_script_has_removed_is_sent_again(tmp_path: Path) -> None:
    here = folders(tmp_path)
    await here.open("j-1", send)
    shutil.rmtree(here.path("j-1"))
    await here.close("j-1", unstored=False)
    assert await here.open("j-1", send)
    assert here.changed("j-1") == []


async def test_only_new_or_changed_files_count(tmp_path: Path) -> None:
    """Given sent files, then untouched, touched, or identically rewritten ones are not results."""
    here = folders(tmp_path)
    await here.open("j-1", send)
    work = here.path("j-1")
    os.utime(work / "train.py", (9, 9))
    (work / "data" / "table.csv").write_text(SENT["data/table.csv"])
    assert names(here.changed("j-1")) == []
    status = (work / "pretrained.pt").stat()
    (work / "pretrained.pt").write_text("WEIGHTS")  # as large as before
    os.utime(work / "pretrained.pt", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    (work / "new.pt").write_text("new")
    (work / "link").unlink()
    (work / "link").symlink_to("new.pt")
    assert names(here.changed("j-1")) == ["link", "new.pt", "pretrained.pt"]


EVENTS = "runs/events.out.tfevents.1.host.2.0"


async def test_event_files_are_results_and_caches_are_not(tmp_path: Path) -> None:
    here = folders(tmp_path)
    await here.open("j-1", send)
    work = here.path("j-1")
    for name in ("pkg/__pycache__/a.pyc", "wandb/run-1/files/x", ".git/HEAD", "venv/lib/deep/y.py", EVENTS):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("x")
    (work / "venv" / "pyvenv.cfg").write_text("home = /usr")
    assert names(here.changed("j-1")) == [EVENTS]  # its images and text are stored nowhere else
    assert len(here.changed("j-1")) == 6


def left(work: Path, **files: str) -> list[ChangedFile]:
    found = []
    for number, (name, text) in enumerate(files.items()):
        path = work / name.replace("__", "/").replace("_pt", ".pt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        found.append(ChangedFile(path.relative_to(work).as_posix(), path, len(text), number, cache=False))
    return found


def found(tmp_path: Path, changed: list[ChangedFile], *patterns: str, maximum_bytes: int = 100) -> Outputs:
    (tmp_path / "output").mkdir(exist_ok=True)
    return find_outputs(tmp_path / "output", tmp_path / "work", patterns, changed, maximum_bytes)


def test_new_files_are_stored_unasked_newest_first_up_to_a_bound(tmp_path: Path) -> None:
    changed = left(tmp_path / "work", old="1" * 60, large="1" * 200, model_pt="1" * 60, sub__note="1")
    assert sorted(found(tmp_path, changed).files) == ["model.pt", "sub/note"]
    assert found(tmp_path, changed, maximum_bytes=0).files == {}
    many = left(tmp_path / "work", **{f"f{number}": "" for number in range(MAXIMUM_UNASKED_FILES + 9)})
    assert len(found(tmp_path, many).files) == MAXIMUM_UNASKED_FILES


def test_a_pattern_takes_all_new_files_and_no_sent_ones(tmp_path: Path) -> None:
    changed = left(tmp_path / "work", final_pt="1" * 200, runs__one__a_pt="1" * 200)
    (tmp_path / "work" / "pretrained.pt").write_text("sent")
    changed += left(tmp_path / "work", notes="not asked for")
    assert sorted(found(tmp_path, changed, "*.pt").files) == ["final.pt"]
    assert sorted(found(tmp_path, changed, "**/*.pt", "runs").files) == ["final.pt", "runs/one/a.pt"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (".", ["final.pt", "runs/one/a.pt", "runs/notes"]),
        ("./", ["final.pt", "runs/one/a.pt", "runs/notes"]),
        ("**", ["final.pt", "runs/one/a.pt", "runs/notes"]),
        ("**.pt", ["final.pt"]),
        ("./runs/", ["runs/one/a.pt", "runs/notes"]),
        ("***/one/**t", ["runs/one/a.pt"]),
        ("runs/**/*.pt", ["runs/one/a.pt"]),
    ],
)
def test_a_pattern_means_the_same_as_in_shells(tmp_path: Path, pattern: str, names: list[str]) -> None:
    """Given any pattern of a user, nothing raises: an error would lose the output directory as well."""
    changed = left(tmp_path / "work", final_pt="1", runs__one__a_pt="1", runs__notes="1")
    outputs = found(tmp_path, changed, pattern)
    (tmp_path / "output" / "kept").write_text("kept")
    assert sorted(outputs.files) == sorted(names)
    assert sorted(found(tmp_path, changed, pattern).files) == sorted([*names, "kept"])


def test_folders_too_deep_for_a_pattern_do_not_lose_the_output_directory(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    for _ in range(1_400):
        folder.mkdir()
        folder /= "d"
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "kept").write_text("kept")
    outputs = found(tmp_path, [], "**/*.pt")
    assert list(outputs.files) == ["kept"]
    assert outputs.problems == ["Folders of the working directory are nested too deeply to search them for --output."]
    remove(tmp_path / "work")  # pytest could not


def test_links_inside_are_kept_and_others_named(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    for name, target in {
        "latest.pt": "step-6.pt", "whole": str(tmp_path / "output" / "step-6.pt"), "out": "/etc/passwd", "gone": "nope",
    }.items():  # fmt: skip
        (tmp_path / "output" / name).symlink_to(target)
    (tmp_path / "output" / "step-6.pt").write_text("6")
    outputs = found(tmp_path, [])
    assert sorted(outputs.links) == ["latest.pt", "whole"]
    assert sorted(problem.split()[0] for problem in outputs.problems) == ["gone", "out"]


async def test_folders_are_removed_after_their_job_or_when_others_need_the_space(tmp_path: Path) -> None:
    """Given folders of ended jobs, those with files that are stored nowhere else stay for a while."""
    here = folders(tmp_path)
    for job in ("j-ended", "j-unstored", "j-paused", "j-running"):
        await here.open(job, send)
    for job in ("j-ended", "j-unstored", "j-paused"):
        await here.close(job, unstored=job == "j-unstored")

    async def ended(jobs: tuple[str, ...]) -> tuple[str, ...]:
        assert "j-running" not in jobs
        return tuple(job for job in jobs if job != "j-paused")

    now = float((tmp_path / "jobs" / "j-unstored" / "state.json").stat().st_mtime)
    await here.sweep(ended, now + 50)
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == ["j-paused", "j-running", "j-unstored"]
    await here.sweep(ended, now + 150)
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == ["j-paused", "j-running"]
    small = folders(tmp_path, maximum_bytes=20)
    for job in ("j-new", "j-newer"):
        await small.open(job, send)
        await small.close(job, unstored=True)
    assert "j-newer" in {path.name for path in (tmp_path / "jobs").iterdir()}
    assert "j-paused" not in {path.name for path in (tmp_path / "jobs").iterdir()}


async def test_files_beside_working_directories_do_not_stop_a_sweep(tmp_path: Path) -> None:
    """Given unreadable notes and folders that are not jobs, when jobs have ended, then their folders are removed."""
    here = folders(tmp_path)
    notes = ["[]", "{}", '{"size_bytes": 1e999, "unstored": true, "used_at": 0}', "[" * 100_000, "\0"]
    for number, text in enumerate(notes):
        await here.open(f"j-{number}", send)
        await here.close(f"j-{number}", unstored=False)
        (tmp_path / "jobs" / f"j-{number}" / "state.json").write_text(text)
    os.unlink(tmp_path / "jobs" / "j-0" / "state.json")
    for name in ("state.json", "state.new"):
        os.mkfifo(tmp_path / "jobs" / "j-0" / name)
    os.mkdir(os.fsencode(tmp_path / "jobs") + b"/\xff")
    await here.open("j-5", send)
    await here.close("j-5", unstored=False)

    async def ended(jobs: tuple[str, ...]) -> tuple[str, ...]:
        assert jobs == tuple(f"j-{number}" for number in range(6))
        return jobs

    await here.sweep(ended, time.time() + 200)
    assert [path.name for path in (tmp_path / "jobs").iterdir() if path.name.isascii()] == []


async def test_kept_output_directories_count_towards_the_bound(tmp_path: Path) -> None:
    here = folders(tmp_path, maximum_bytes=5_000)
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "large.pt").write_text("x" * 10_000)
    for job in ("j-old", "j-new"):
        await here.open(job, send)
        if job == "j-old":
            here.keep_output(job, 1, tmp_path / "output")
        await here.close(job, unstored=True)
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == ["j-new"]
