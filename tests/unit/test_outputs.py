"""What an attempt's ranks left is stored, whatever the files are called and whatever they are."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headway.core.artifact import Artifact, legal_name
from headway.core.facts import ArtifactStored
from headway.core.protocol import Claimed
from headway.worker.connection import Connection
from headway.worker.outputs import MAXIMUM_FILES, Stored, find_outputs, store_outputs
from headway.worker.work_folders import ChangedFile

pytestmark = pytest.mark.anyio


class Uploads:
    """Takes files as the server does, and refuses the names that it refuses."""

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
    """Given a good file and others with odd names, when they are stored, then each is there, and a warning says so."""
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
    assert answer.warning.startswith("3 names of files are not UTF-8")


async def test_an_escaped_name_takes_the_place_of_no_other(folder: Path) -> None:
    (folder / "output" / "a%E9").write_text("plain")
    for name in (b"a\xe9", b"a\xe9_"):
        with open(os.path.join(os.fsencode(folder / "output"), name), "wb") as file:
            file.write(b"bytes")
    content, _ = await stored(folder)
    assert sorted(content) == ["a%E9", "a%E9_", "a%E9__"]
    assert content["a%E9"] == b"plain"


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
    """Given links to a file and to a folder, and far too many links, each stored file is sent once."""
    (folder / "output" / "run").mkdir()
    (folder / "output" / "run" / "a").write_text("a")
    (folder / "output" / "latest").symlink_to("run")
    (folder / "output" / "best").symlink_to("run/a")
    (folder / "output" / ("n" * 200)).symlink_to("run")
    (folder / "output" / "itself").symlink_to(".")
    content, answer = await stored(folder)
    links = {fact.artifact.name: fact.artifact.link_to for fact in answer.facts if isinstance(fact, ArtifactStored)}
    assert content == {"run/a": b"a"}
    assert answer.warning == "itself was not stored: nothing is stored of the folder that it is a link to."
    assert links == {"run/a": None, "best": "run/a", "latest/a": "run/a", f"{'n' * 200}/a": "run/a"}
    for number in range(MAXIMUM_FILES + 100):
        (folder / "output" / f"link-{number}").symlink_to("run/a")
    _, answer = await stored(folder)
    assert len(answer.facts) == MAXIMUM_FILES - 1  # but for the link to the folder itself
    assert answer.warning is not None
    assert "pack many files into an archive" in answer.warning
