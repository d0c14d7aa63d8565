"""Directories of checkpoint files: links are restored, nothing is written outside, reading is detected."""

from __future__ import annotations

import asyncio
import io
import mmap
import os
import sys
import tarfile
from pathlib import Path

import pytest

from headway.errors import CheckpointCorrupt
from headway.rank_protocol.checkpoint_files import pack_files, signature, unpack_files
from headway.rank_protocol.checkpoint_parts import PartKind
from headway.worker.checkpoint_watch import CheckpointWatch
from headway.worker.checkpoints import SavedPart
from headway.worker.read_watch import LeftFilesWatch, ReadWatch


def folder_with_links(folder: Path) -> Path:
    (folder / "step-6").mkdir(parents=True)
    (folder / "step-6" / "model.pt").write_text("6")
    (folder / "logs").mkdir()
    (folder / "latest.pt").symlink_to("step-6/model.pt")
    (folder / "latest").symlink_to("step-6")
    (folder / "step-6" / "again").symlink_to("../latest.pt")
    (folder / "absolute").symlink_to(folder / "step-6" / "model.pt")
    (folder / "around").symlink_to(f"../{folder.name}/step-6/model.pt")
    os.link(folder / "step-6" / "model.pt", folder / "hard")
    (folder / ".hidden").write_text("hidden")
    (folder / "shown").symlink_to(".hidden")
    return folder


def test_links_inside_the_folder_come_back_elsewhere(tmp_path: Path) -> None:
    """Given links of all kinds to files in the folder, they work where the folder is unpacked."""
    folder = folder_with_links(tmp_path / "files")
    assert pack_files(folder, tmp_path / "archive") == ()
    for path in folder.rglob("*"):
        path.unlink() if path.is_symlink() else None
    back = tmp_path / "other" / "place"
    back.mkdir(parents=True)
    unpack_files(tmp_path / "archive", back)
    assert {name: (back / name).readlink() for name in ("latest.pt", "latest", "step-6/again")} == {
        "latest.pt": Path("step-6/model.pt"),
        "latest": Path("step-6"),
        "step-6/again": Path("../latest.pt"),
    }
    for name in ("latest.pt", "latest/model.pt", "step-6/again", "absolute", "around", "hard"):
        assert (back / name).read_text() == "6", name
        assert (back / name).resolve().is_relative_to(back), name
    assert (back / "shown").read_text() == "hidden"
    assert (back / "logs").is_dir()


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside", "nope", "self", "tmp-half"])
def test_other_links_are_named(tmp_path: Path, target: str) -> None:
    folder = tmp_path / "files"
    (folder / "tmp-half").mkdir(parents=True)
    (tmp_path / "outside").write_text("outside")
    (folder / "self").symlink_to(target)
    assert pack_files(folder, tmp_path / "archive") == ("self",)
    unpack_files(tmp_path / "archive", tmp_path / "back")
    assert not os.path.lexists(tmp_path / "back" / "self")


def test_a_link_with_another_target_is_a_change(tmp_path: Path) -> None:
    folder = folder_with_links(tmp_path / "files")
    before = signature(folder)
    (folder / "new").symlink_to("hard")
    (folder / "new").rename(folder / "latest.pt")
    assert signature(folder) != before


def hostile(path: Path, *members: tuple[str, bytes, str]) -> Path:
    with tarfile.open(path, mode="w") as tar:
        for name, kind, link in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, link
            entry.size = 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(entry, io.BytesIO(b"evil"))
    return path


SYMLINK, FILE = tarfile.SYMTYPE, tarfile.REGTYPE


@pytest.mark.parametrize(
    "members",
    [
        [("link", SYMLINK, "/etc"), ("link/evil", FILE, "")],
        [("link", SYMLINK, ".."), ("link/evil", FILE, "")],
        [("../evil", FILE, "")],
        [("a/b/root", SYMLINK, "../.."), ("a/out", SYMLINK, "b/root/.."), ("a/out/evil", FILE, "")],
        [("a/b/root", SYMLINK, "../.."), ("a/out", SYMLINK, "b/root/..")],
        [("hard", tarfile.LNKTYPE, "../outside")],
        [("device", tarfile.CHRTYPE, "")],
    ],
)
def test_an_archive_made_to_do_harm_writes_nothing_outside(
    tmp_path: Path, members: list[tuple[str, bytes, str]]
) -> None:
    (tmp_path / "inner").mkdir()
    archive = hostile(tmp_path / "archive", *members)
    with pytest.raises(CheckpointCorrupt):
        unpack_files(archive, tmp_path / "inner" / "target")
    assert not list(tmp_path.rglob("evil")) or all(
        path.is_relative_to(tmp_path / "inner" / "target") for path in tmp_path.rglob("evil")
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
@pytest.mark.parametrize("how", ["open", "through a link", "mapped", "listed only", "written only"])
def test_reading_is_noticed_and_nothing_else(tmp_path: Path, how: str) -> None:
    """Given restored files, reading one is detected; listing names or writing other files is not."""
    folder = folder_with_links(tmp_path / "files")
    watch = ReadWatch(folder)
    assert watch.certain
    match how:
        case "open":
            (folder / "step-6" / "model.pt").read_text()
        case "through a link":
            (folder / "latest.pt").read_text()
        case "mapped":
            with (folder / "hard").open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            mapped.close()
        case "listed only":
            assert [path.stat().st_size for path in sorted(folder.rglob("*"))]
        case "written only":
            (folder / "step-7.pt").write_text("7")
            (folder / "step-7.pt").read_text()
    assert watch.look() == (how in ("open", "through a link", "mapped"))
    watch.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_newest_file_that_was_read_tells_where_an_attempt_continues(tmp_path: Path) -> None:
    """Given files of an earlier attempt, when some are read, changed or replaced, then only reads count."""
    modified_at = {tmp_path / name: at for name, at in (("cache", 10.0), ("snapshot", 90.0), ("log", 95.0))}
    for path in modified_at:
        path.write_text("left")
    watch = LeftFilesWatch({**modified_at, tmp_path / "gone": 99.0})
    assert watch.newest_read() is None
    for name, newest in (("cache", 10.0), ("snapshot", 90.0), ("cache", None)):
        (tmp_path / name).read_text()
        assert watch.newest_read() == newest
    with (tmp_path / "log").open("a") as log:
        log.write("a line more")
    (tmp_path / "new").write_text("new")
    (tmp_path / "new").replace(tmp_path / "log")
    (tmp_path / "log").read_text()
    assert watch.newest_read() is None
    watch.close()
    assert LeftFilesWatch({}).newest_read() is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_packing_does_not_count_as_reading_and_a_link_gives_no_step(tmp_path: Path) -> None:
    """Given a worker that packs restored and new files, then none counts as read; the newest file gives the step."""
    folder = folder_with_links(tmp_path / "files")
    restored = ReadWatch(folder)
    watch = CheckpointWatch(folder, tmp_path / "attempt", restored)
    (folder / "state-8").write_text("8")
    (folder / "last-v2").symlink_to("state-8")
    (folder / "gone-9").symlink_to("nothing")
    part = asyncio.run(watch.look(None, (), now=1.0, final=True))
    assert isinstance(part, SavedPart)
    assert (part.step, part.kind, watch.left_out) == (8, PartKind.FILES, ("gone-9",))
    assert not restored.look()
    (folder / "hard").read_text()
    assert restored.look()
