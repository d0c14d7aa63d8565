"""Snapshots of working directories: what is packed, the same bytes each time, and safe unpacking."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from headway.errors import Corrupt, InvalidInput, TooLarge
from headway.formats import snapshot
from headway.formats.ignored_files import find_files
from headway.rank_protocol.checkpoint_files import pack_files, unpack_files


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def pack(folder: Path, extra: dict[str, bytes] | None = None) -> tuple[snapshot.Snapshot, bytes]:
    packed = snapshot.pack(folder, extra)
    with packed.file:
        return packed, packed.file.read()


def packed_names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in find_files(folder)[0]}


def test_a_directory_comes_back_with_its_links_and_executables(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", train="import x", pkg__mod="x = 1", run="#!/bin/sh")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("pkg/mod")
    (folder / "logs" / "empty").mkdir(parents=True)
    packed, content = pack(folder, {".headway/call.py": b"call()"})
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    snapshot.unpack(archive, tmp_path / "b")
    assert (tmp_path / "b" / "pkg" / "mod").read_text() == "x = 1"
    assert (tmp_path / "b" / "link").read_text() == "x = 1"
    assert os.access(tmp_path / "b" / "run", os.X_OK)
    assert (tmp_path / "b" / ".headway" / "call.py").read_bytes() == b"call()"
    assert (tmp_path / "b" / "logs" / "empty").is_dir()
    assert packed.file_count == 5
    assert packed.size_bytes == archive.stat().st_size


@pytest.mark.parametrize("when", ["listed", "checked"])
def test_files_that_go_away_meanwhile_are_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Given a file, a link and a folder that vanish after they were listed, then the others are packed."""
    folder = write(tmp_path / "a", kept="1", temporary="2")
    (folder / "link").symlink_to("temporary")
    (folder / "empty").mkdir()

    def vanish() -> None:
        (folder / "temporary").unlink()
        (folder / "link").unlink()
        (folder / "empty").rmdir()

    def then_vanish(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            found = call(*arguments)
            vanish()
            return found

        return wrapped

    name = "find_files" if when == "listed" else "_checked"
    monkeypatch.setattr(snapshot, name, then_vanish(getattr(snapshot, name)))
    (tmp_path / "archive").write_bytes(pack(folder)[1])
    snapshot.unpack(tmp_path / "archive", tmp_path / "b")
    assert [path.name for path in (tmp_path / "b").rglob("*")] == ["kept"]


def test_a_folder_that_goes_away_while_it_is_listed_has_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "a", kept="1", inner__file="2")
    scan = os.scandir

    def scan_once(path: Path) -> Any:
        if path.name == "inner":
            raise FileNotFoundError(path)
        return scan(path)

    monkeypatch.setattr("headway.formats.ignored_files.os.scandir", scan_once)
    assert packed_names(folder) == {"kept"}


def test_the_same_files_have_the_same_hash_whenever_and_whoever(tmp_path: Path) -> None:
    first = write(tmp_path / "a", one="1", two__three="3")
    second = write(tmp_path / "b", two__three="3", one="1")
    os.utime(second / "one", (1, 1))
    (second / "one").chmod(0o600)
    assert pack(first)[1] == pack(second)[1]
    (second / "one").write_text("2")
    assert pack(first)[0].sha256 != pack(second)[0].sha256


def test_ignore_files_count_as_they_do_for_git(tmp_path: Path) -> None:
    folder = write(tmp_path, keep="", drop="", data__big="", data__small="", sub__drop="", sub__keep="", log="")
    (folder / ".gitignore").write_text("drop\ndata/*\n!data/small\n")
    (folder / "sub" / ".gitignore").write_text("!drop\n")
    (folder / ".headwayignore").write_text("log\n")
    write(folder, __pycache____x="", venv__lib="")
    (folder / "venv" / "pyvenv.cfg").write_text("home = /usr")
    (folder / "linked").symlink_to(folder / "venv")
    assert packed_names(folder) == {
        ".gitignore", ".headwayignore", "keep", "data/small", "sub/.gitignore", "sub/drop", "sub/keep",
    }  # fmt: skip


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside"])
def test_a_link_that_leads_outside_is_named(tmp_path: Path, target: str) -> None:
    folder = write(tmp_path / "a", one="1")
    (folder / "escape").symlink_to(target)
    with pytest.raises(InvalidInput, match=r"escape links to something outside .* Name it in .headwayignore"):
        snapshot.pack(folder)
    (folder / ".headwayignore").write_text("escape")
    assert pack(folder)[0].file_count == 2


def test_a_directory_that_is_too_large_is_refused_before_it_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a folder of large files beside a small file, then both are named with their sizes and nothing is packed."""
    folder = write(tmp_path / "a", small="1", data__a="1" * 100, data__b="1" * 100)
    monkeypatch.setattr(snapshot, "MAXIMUM_UNPACKED_BYTES", 100)
    packed: list[int] = []
    with pytest.raises(TooLarge, match=r"201 B in 3 files; at most 100 B can be sent") as refused:
        snapshot.pack(folder, packed_bytes=packed.append)
    assert "The largest entries: data/ (200 B), small (1 B). List in .headwayignore" in str(refused.value)
    assert packed == []


def test_packing_tells_how_many_bytes_it_has_packed(tmp_path: Path) -> None:
    packed: list[int] = []
    with snapshot.pack(write(tmp_path / "a", small="1", large="1" * 200), packed_bytes=packed.append).file:
        assert sorted(packed) == [1, 200]


def test_a_whole_home_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(InvalidInput, match="your whole home"):
        snapshot.pack(tmp_path)


def test_a_pipe_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInput, match="pipe is neither a file nor a link"):
        snapshot.pack(tmp_path)


def hostile(path: Path, *members: tuple[str, bytes, str]) -> Path:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, kind, link in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, link
            entry.size = 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(entry, io.BytesIO(b"evil"))
    path.write_bytes(zstandard.ZstdCompressor().compress(content.getvalue()))
    return path


@pytest.mark.parametrize(
    "members",
    [
        [("../outside", tarfile.REGTYPE, "")],
        [("link", tarfile.SYMTYPE, "/etc")],
        [("link", tarfile.SYMTYPE, "..")],
        [("hard", tarfile.LNKTYPE, "../outside")],
        [("device", tarfile.CHRTYPE, "")],
    ],
)
def test_a_hostile_archive_writes_nothing_outside(tmp_path: Path, members: list[tuple[str, bytes, str]]) -> None:
    archive = hostile(tmp_path / "archive", *members)
    with pytest.raises(Corrupt, match="cannot be unpacked"):
        snapshot.unpack(archive, tmp_path / "inner" / "target")
    assert not (tmp_path / "inner" / "outside").exists()
    assert not list((tmp_path / "inner" / "target").iterdir())


def test_a_bomb_and_a_cut_archive_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "a", zeros="0" * 100_000)
    _, content = pack(folder)
    (tmp_path / "cut").write_bytes(content[: len(content) // 2])
    with pytest.raises(Corrupt):
        snapshot.unpack(tmp_path / "cut", tmp_path / "b")
    (tmp_path / "bomb").write_bytes(content)
    monkeypatch.setattr(snapshot, "MAXIMUM_UNPACKED_BYTES", 1000)
    with pytest.raises(Corrupt, match="unpacks to more than 1,000 bytes"):
        snapshot.unpack(tmp_path / "bomb", tmp_path / "c")


def test_names_that_are_not_utf8_come_back_as_they_were(tmp_path: Path) -> None:
    """This holds for snapshots and checkpoint folders. The script knows its files by these names."""
    source = os.fsencode(tmp_path / "a")
    names = [b"r\xe9sum\xe9.txt", b"two\nlines", b"back\\slash", b"\xff" * 255]
    os.makedirs(source + b"/\xfe")
    for name in names:
        for place in (source, source + b"/\xfe"):
            with open(os.path.join(place, name), "wb") as file:
                file.write(name)
    (tmp_path / "snapshot").write_bytes(pack(tmp_path / "a")[1])
    snapshot.unpack(tmp_path / "snapshot", tmp_path / "b")
    pack_files(tmp_path / "a", tmp_path / "checkpoint")
    unpack_files(tmp_path / "checkpoint", tmp_path / "c")
    for target in (os.fsencode(tmp_path / "b"), os.fsencode(tmp_path / "c")):
        assert sorted(os.listdir(target)) == sorted([*names, b"\xfe"])
        assert sorted(os.listdir(target + b"/\xfe")) == sorted(names)
