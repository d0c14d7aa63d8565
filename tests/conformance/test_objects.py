"""What every object store promises."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headway.backend_registry import backend
from headway.errors import InvalidInput, NotFound, SettingInvalid, Unavailable
from headway.objects.base import Objects
from tests.conformance.backends import run, schemes
from tests.no_root import without_root

pytestmark = pytest.mark.anyio


@pytest.fixture(params=schemes("objects"))
async def objects(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Objects]:
    async with run("objects", request.param, tmp_path) as url:
        objects: Objects = backend("objects", url)(url)
        await objects.open()
        yield objects
        await objects.close()


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(objects: Objects, object_id: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in objects.get(object_id, start, end)])


async def test_bytes_come_back(objects: Objects) -> None:
    content = bytes(range(256)) * 20_000
    stored = await objects.put("a/b-1/c", chunks(content[:7], content[7:]))
    assert (stored.size_bytes, stored.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert await read(objects, "a/b-1/c") == content
    assert await objects.size_bytes("a/b-1/c") == len(content)


async def test_ranges(objects: Objects) -> None:
    await objects.put("x", chunks(b"0123456789"))
    assert await read(objects, "x", 3) == b"3456789"
    assert await read(objects, "x", 3, 5) == b"34"
    assert await read(objects, "x", 10) == b""


async def test_an_empty_object_exists(objects: Objects) -> None:
    await objects.put("empty", chunks())
    assert await objects.size_bytes("empty") == 0
    assert await read(objects, "empty") == b""


async def test_an_absent_object_is_not_found(objects: Objects) -> None:
    with pytest.raises(NotFound):
        await read(objects, "none")
    with pytest.raises(NotFound):
        await objects.size_bytes("none")
    await objects.delete("none")


async def test_a_failing_upload_keeps_the_former_object(objects: Objects) -> None:
    await objects.put("x", chunks(b"old"))

    async def breaks() -> AsyncIterator[bytes]:
        yield b"new and lon"
        raise ConnectionError("the client disconnected")

    with pytest.raises(ConnectionError):
        await objects.put("x", breaks())
    assert await read(objects, "x") == b"old"
    assert [one async for one in objects.list("")] == ["x"]


FOUND = {
    "": ["B", "a-1", "a.b", "a/1", "a/12", "a/1x/b", "a/2", "ab"],
    "a/": ["a/1", "a/12", "a/1x/b", "a/2"],
    "a/1": ["a/1", "a/12", "a/1x/b"],
    "a": ["a-1", "a.b", "a/1", "a/12", "a/1x/b", "a/2", "ab"],
    "a/12": ["a/12"],
    "a/1x/": ["a/1x/b"],
    "c": [],
}


async def test_a_prefix_is_text_and_ids_come_in_order(objects: Objects) -> None:
    for object_id in ("a/2", "a/1", "a/12", "a/1x/b", "ab", "B", "a-1", "a.b"):
        await objects.put(object_id, chunks(b"x"))
    for prefix, found in FOUND.items():
        assert [one async for one in objects.list(prefix)] == found, prefix


async def test_listing_reads_only_the_folders_of_the_prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"file://{tmp_path}"
    objects: Objects = backend("objects", url)(url)
    await objects.open()
    for object_id in ("checkpoints/j-1/1", "checkpoints/j-1/2/a", "checkpoints/j-2/1", "blocks/1", "blocks/2"):
        await objects.put(object_id, chunks(b"x"))
    read: list[str] = []
    scandir = os.scandir

    def noted(path: str) -> object:
        read.append(Path(path).relative_to(tmp_path).as_posix())
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    assert [one async for one in objects.list("checkpoints/j-1/")] == ["checkpoints/j-1/1", "checkpoints/j-1/2/a"]
    assert read == ["checkpoints/j-1", "checkpoints/j-1/2"]


async def test_what_is_deleted_is_not_listed(objects: Objects) -> None:
    for object_id in ("a/2", "a/1"):
        await objects.put(object_id, chunks(b"x"))
    await objects.delete("a/1")
    assert [one async for one in objects.list("a/")] == ["a/2"]


async def test_a_healthy_store_has_no_problems(objects: Objects) -> None:
    assert await objects.problems() == []


async def test_ids_that_are_not_ours_are_refused(objects: Objects) -> None:
    for object_id in ("", "../x", "/etc/passwd", "a//b", "a/../b", ".incoming/x", "a b", "x" * 600):
        with pytest.raises(InvalidInput):
            await objects.put(object_id, chunks(b"x"))


async def test_a_folder_that_is_closed_while_it_is_used_costs_only_time(tmp_path: Path) -> None:
    """Given a folder that becomes read-only, then writing says so, reading continues, and later all works again."""
    url = f"file://{tmp_path / 'objects'}"
    objects: Objects = backend("objects", url)(url)
    await objects.open()
    await objects.put("a/1", chunks(b"x"))
    folders = [tmp_path / "objects", tmp_path / "objects" / ".incoming", tmp_path / "objects" / "a"]
    for folder in folders:
        folder.chmod(0o555)
    with without_root(tmp_path):
        for refused in (objects.put("a/2", chunks(b"y")), objects.delete("a/1")):
            with pytest.raises(Unavailable, match=r"objects cannot be read or written: Permission denied\."):
                await refused
        assert [one async for one in objects.list("")] == ["a/1"]
    for folder in folders:
        folder.chmod(0o700)
    await objects.put("a/2", chunks(b"y"))
    assert [one async for one in objects.list("")] == ["a/1", "a/2"]


async def test_what_was_put_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path}"
    objects: Objects = backend("objects", url)(url)
    await objects.open()
    synced, fsync = [], os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    await objects.put("a", chunks(b"small"))
    assert synced[0] == len(b"small")


async def test_a_store_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    url = f"file://{tmp_path / 'file'}"
    with pytest.raises(SettingInvalid, match="HEADWAY_OBJECTS_URL"):
        await backend("objects", url)(url).open()


async def test_a_path_that_is_not_a_folder_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    url = f"file://{tmp_path / 'file'}"
    with pytest.raises(SettingInvalid, match="is not a folder that you may write to"):
        await backend("objects", url)(url).problems()
