"""Outputs of an attempt are stored, whatever their names and kinds."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headway.core.artifact import Artifact, legal_name
from headway.core.facts import ArtifactStored, FilesLeft
from headway.core.protocol import Claimed
from headway.worker.connection import Connection
from headway.worker.outputs import MAXIMUM_FILES, Outputs, Stored, find_outputs, store_outputs, store_results
from headway.worker.preparation import Prepared
from headway.worker.work_folders import ChangedFile, WorkFolders

pytestmark = pytest.mark.anyio


class Uploads:
    """Stores files like the server, and refuses the same names."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}

    async def store_artifact(self, _claimed: Claimed, name: str, path: Path) -> Artifact:
        artifact = Artifact(name=name, object_id="o", size_bytes=0, sha256="0" * 64, attempt=1)
        self.content[name] = path.read_bytes()
        return artifact


async def stored(folder: Path, patterns: tuple[str, ...] = ()) -> tuple[dict[str, bytes], Stored]:
    uploads = Uploads()
    claimed = cast("Claimed", SimpleNamespace(spec=SimpleNamespace(outputs=patterns), group_rank=0))
    work = folder / "work"
    changed = [ChangedFile(path.name, path, 0, 0, cache=False) for path in work.iterdir()]
    outputs = find_outputs(folder / "output", work, patterns, changed, 1 << 20)
    answer = await store_outputs(claimed, outputs, cast("Connection", cast("Any", uploads)), lambda: False)
    return uploads.content, answer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "output").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path


@pytest.mark.parametrize(("place", "patterns"), [("output", ()), ("work", ("*",)), ("work", ())])
async def test_names_that_are_not_utf8_are_escaped_and_counted(
    folder: Path, place: str, patterns: tuple[str, ...]
) -> None:
    """Given a file with a good name and others with odd names, then all are stored, with a warning."""
    (folder / place / "good.txt").write_text("kept")
    (folder / place / "50%.txt").write_text("as it is")
    odd = {b"r\xe9sum\xe9 5%": "r%E9sum%E9 5%25", b"two\nlines": "two%0Alines", b"back\\slash": "back%5Cslash"}
    for name in odd:
        with open(os.path.join(os.fsencode(folder / place), name), "wb") as file:
            file.write(name)
    content, answer = await stored(folder, patterns)
    named = {escaped: name for name, escaped in odd.items()}
    assert content == {"good.txt": b"kept", "50%.txt": b"as it is", **named}
    assert answer.warning is not None
    assert answer.warning.startswith("3 file names have bytes that are not UTF-8")


async def test_an_escaped_name_replaces_no_other(folder: Path) -> None:
    (folder / "output" / "a%E9").write_text("plain")
    for name in (b"a\xe9", b"a\xe9_"):
        with open(os.path.join(os.fsencode(folder / "output"), name), "wb") as file:
            file.write(b"bytes")
    content, _ = await stored(folder)
    assert sorted(content) == ["a%E9", "a%E9_", "a%E9_1"]
    assert content["a%E9"] == b"plain"


def test_many_names_that_become_one_stay_short(tmp_path: Path) -> None:
    """Given names that differ only after the longest length of a disk, then each gets a number, quickly."""
    outputs = Outputs()
    for number in range(20_000):
        outputs.add(os.fsdecode(b"\xe9" * 250) + str(number), tmp_path / "one", tmp_path)
    assert len(outputs.files) == 20_000
    assert max(map(len, outputs.files)) < 255


async def test_a_folder_with_such_a_name_keeps_its_files(folder: Path) -> None:
    inner = os.path.join(os.fsencode(folder / "output"), b"\xff\xfe")
    os.mkdir(inner)
    with open(os.path.join(inner, b"file"), "wb") as file:
        file.write(b"inside")
    content, _ = await stored(folder)
    assert content == {"%FF%FE/file": b"inside"}


def test_a_long_name_stays_one_that_a_disk_can_hold() -> None:
    name = legal_name(os.fsdecode(b"\xe9" * 255))
    assert len(name) == 240
    assert name.startswith("%E9%E9")


async def test_links_are_other_names_of_what_is_stored_and_bounded(folder: Path) -> None:
    """Given links to a file and to a folder, and too many links, each stored file is sent once."""
    (folder / "output" / "run").mkdir()
    (folder / "output" / "run" / "a").write_text("a")
    (folder / "output" / "latest").symlink_to("run")
    (folder / "output" / "best").symlink_to("run/a")
    (folder / "output" / ("n" * 200)).symlink_to("run")
    (folder / "output" / "itself").symlink_to(".")
    content, answer = await stored(folder)
    links = {fact.artifact.name: fact.artifact.link_to for fact in answer.facts if isinstance(fact, ArtifactStored)}
    assert content == {"run/a": b"a"}
    assert answer.warning == "itself was not stored: it is a link to a folder of which no file is stored."
    assert links == {"run/a": None, "best": "run/a", "latest/a": "run/a", f"{'n' * 200}/a": "run/a"}
    for number in range(MAXIMUM_FILES + 100):
        (folder / "output" / f"link-{number}").symlink_to("run/a")
    _, answer = await stored(folder)
    assert len(answer.facts) == MAXIMUM_FILES - 1  # without the link to the folder itself
    assert answer.warning is not None
    assert "pack many files into an archive" in answer.warning


async def test_one_odd_name_is_counted_as_one(folder: Path) -> None:
    (folder / "output" / "back\\slash").write_text("x")
    _, answer = await stored(folder)
    assert answer.warning is not None
    assert answer.warning.startswith("1 file name has bytes that are not UTF-8, control characters")


async def left_by(folder: Path, connection: object, *patterns: str) -> tuple[Stored, FilesLeft]:
    """The result of `store_results` for a job's folders."""
    claimed = cast(
        "Claimed", SimpleNamespace(job="j-1", attempt=1, spec=SimpleNamespace(outputs=patterns), group_rank=0)
    )
    here = WorkFolders(folder / "home", 1 << 30, 86_400.0, 1 << 20)

    async def fill(work: Path) -> None:
        work.mkdir(parents=True)

    await here.open("j-1", fill)
    work = here.path("j-1")
    for path in (folder / "work").iterdir():
        path.rename(work / path.name)
    prepared = cast("Prepared", SimpleNamespace(output=folder / "output", work=work, unstored=False))
    answer = await store_results(claimed, prepared, here, cast("Connection", connection), out_of_time=lambda: False)
    assert prepared.unstored
    (left,) = (fact for fact in answer.facts if isinstance(fact, FilesLeft))
    return answer, left


@pytest.mark.parametrize("patterns", [(), ("*",)])
async def test_a_link_out_of_its_folder_is_explained_once(folder: Path, patterns: tuple[str, ...]) -> None:
    """Given links that lead out, when results are stored, then each has one warning, with a hint that works."""
    for place in ("work", "output"):
        (folder / place / f"{place}-link").symlink_to("/etc/hostname")
        (folder / place / f"{place}-nothing").symlink_to("gone")
    answer, left = await left_by(folder, Uploads(), *patterns)
    assert sorted(answer.problems) == [
        "output-link was not stored: it is a link to a file outside its folder. Copy the file instead.",
        "output-nothing was not stored: it is a link to a file that does not exist.",
        "work-link was not stored: it is a link to a file outside its folder. Copy the file instead.",
        "work-nothing was not stored: it is a link to a file that does not exist.",
    ]
    assert (left.unstored.count, left.outputs.count) == (0, 0)


async def test_a_link_that_leads_out_and_is_not_asked_for_gets_no_hint(folder: Path) -> None:
    (folder / "work" / "link").symlink_to("/etc/hostname")
    (folder / "work" / "model.pt").write_text("x")
    (folder / "output" / "nothing").symlink_to("gone")
    _, left = await left_by(folder, Uploads(), "*.csv")
    assert [name for name, _ in left.unstored.largest] == ["model.pt"]


@pytest.mark.parametrize("place", ["work", "output"])
async def test_files_beyond_the_limit_are_explained_once(folder: Path, place: str) -> None:
    """Given more files than the limit, when --output was given, then the limit is the only reason given."""
    for number in range(MAXIMUM_FILES + 3):
        (folder / place / f"{number:04}").write_text("x")
    answer, left = await left_by(folder, Uploads(), "*")
    assert answer.problems == [
        "Only 500 of 503 files are stored: pack many files into an archive.",
        f"Files that were not stored stay in {folder}/home/jobs/j-1 on the worker until 24 h after the job's end, or "
        "until other jobs need the space.",
    ]
    assert (left.unstored.count, left.outputs.count) == (0, 0)
