"""The worker's caches stay within their bounds, and drop the least recently used entries."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headway.core.environment import Environment
from headway.errors import Corrupt, EnvironmentFailed, InputUnusable
from headway.formats import snapshot
from headway.worker.environments import BuildSite, Environments
from headway.worker.forkserver import Forkserver
from headway.worker.snapshot_cache import SnapshotCache

pytestmark = pytest.mark.anyio


def site_in(folder: Path) -> BuildSite:
    return BuildSite(folder, folder / "own", print)


def packed(folder: Path, text: str) -> tuple[str, bytes]:
    folder.mkdir()
    (folder / "file").write_text(text)
    one = snapshot.pack(folder)
    with one.file:
        return one.sha256, one.file.read()


async def test_a_snapshot_is_fetched_once_and_old_ones_are_dropped(tmp_path: Path) -> None:
    archives = dict(packed(tmp_path / str(number), os.urandom(500).hex()) for number in range(3))
    fetched: list[str] = []

    async def fetch(sha256: str) -> AsyncIterator[bytes]:
        fetched.append(sha256)
        yield archives[sha256]

    bound = sum(map(len, archives.values())) - 1
    cache = SnapshotCache(tmp_path / "cache", bound, fetch)
    first, second, third = archives
    for number, sha256 in enumerate((first, second, first, third, first, second)):
        await cache.unpack(sha256, tmp_path / "work" / str(number))
        os.utime(tmp_path / "cache" / f"{sha256}.tar.zst", (number, number))
    assert fetched == [
        first,
        second,
        third,
        second,
    ]  # the third replaced the second, which was used less recently than the first
    assert (tmp_path / "work" / "5" / "file").exists()


async def test_a_snapshot_in_use_is_not_dropped_and_one_above_the_bound_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a cache without space, when two snapshots are unpacked at the same time, then both are complete."""
    archives = dict(packed(tmp_path / str(number), os.urandom(500).hex()) for number in range(2))
    first, second = archives
    unpack, reached, through = snapshot.unpack, threading.Event(), threading.Event()

    def unpack_slowly(archive: Path, target: Path) -> None:
        if first in archive.name:
            reached.set()
            assert through.wait(20)
        unpack(archive, target)

    async def fetch(sha256: str) -> AsyncIterator[bytes]:
        yield archives[sha256]

    monkeypatch.setattr(snapshot, "unpack", unpack_slowly)
    cache = SnapshotCache(tmp_path / "cache", 1, fetch)
    slow = asyncio.create_task(cache.unpack(first, tmp_path / "work" / "first"))
    assert await asyncio.to_thread(reached.wait, 20)
    await cache.unpack(second, tmp_path / "work" / "second")
    through.set()
    await slow
    assert (tmp_path / "work" / "first" / "file").exists()
    assert (tmp_path / "work" / "second" / "file").exists()
    assert list((tmp_path / "cache").iterdir()) == []


async def test_a_snapshot_with_other_bytes_is_not_kept(tmp_path: Path) -> None:
    async def fetch(_sha256: str) -> AsyncIterator[bytes]:
        yield b"other"

    cache = SnapshotCache(tmp_path / "cache", 1000, fetch)
    with pytest.raises(Corrupt, match="does not match its hash"):
        await cache.unpack(hashlib.sha256(b"wanted").hexdigest(), tmp_path / "work")
    assert list((tmp_path / "cache").iterdir()) == []


async def test_an_unusable_snapshot_differs_from_one_that_the_disk_changed(tmp_path: Path) -> None:
    """Given an archive that cannot be unpacked, it is unusable if its hash is right; otherwise it is fetched again."""
    bad = b"no archive"
    sha256, good = packed(tmp_path / "files", "text")
    contents = {hashlib.sha256(bad).hexdigest(): bad, sha256: good}

    async def fetch(sha256: str) -> AsyncIterator[bytes]:
        yield contents[sha256]

    cache = SnapshotCache(tmp_path / "cache", 1 << 20, fetch)
    with pytest.raises(InputUnusable, match="cannot be unpacked"):
        await cache.unpack(hashlib.sha256(bad).hexdigest(), tmp_path / "bad")
    await cache.unpack(sha256, tmp_path / "first")
    (tmp_path / "cache" / f"{sha256}.tar.zst").write_bytes(good[:-20])
    with pytest.raises(Corrupt) as changed:
        await cache.unpack(sha256, tmp_path / "second")
    assert not isinstance(changed.value, InputUnusable)
    await cache.unpack(sha256, tmp_path / "third")
    assert (tmp_path / "third" / "file").exists()


async def test_environments_stay_within_their_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environments = Environments(tmp_path / "home", threads=1, maximum_bytes=1)
    work = tmp_path / "work"
    work.mkdir()
    lines: list[str] = []
    for name in ("a.txt", "b.txt"):
        (work / name).write_text(f"# {name}: nothing to install\n")
        python, _ = await environments._python(Environment(lock=name), BuildSite(work, tmp_path / "own", lines.append))
        assert python.exists()
    (kept,) = (tmp_path / "home" / "environments").iterdir()
    assert python.is_relative_to(kept)
    assert [line for line in lines if line.startswith("Building")] == [
        "Building the environment of a.txt. Later jobs reuse it.",
        "Building the environment of b.txt. Later jobs reuse it.",
    ]
    await environments._python(Environment(lock="b.txt"), BuildSite(work, tmp_path / "own", lines.append))
    assert len([line for line in lines if line.startswith("Building")]) == 2


async def test_an_environment_that_is_built_or_used_is_not_dropped(tmp_path: Path) -> None:
    environments = Environments(tmp_path / "home", threads=1, maximum_bytes=1)
    pythons = []
    for name in ("used.txt", "idle.txt"):
        (tmp_path / name).write_text(f"# {name}\n")
        python, _ = await environments._python(Environment(lock=name), site_in(tmp_path))
        pythons.append(python)
        if name == "used.txt":
            environments._used[pythons[0]] = 1
    half_built = tmp_path / "home" / "environments" / "half-built"
    left_over = tmp_path / "home" / "environments" / "left-over"
    half_built.mkdir()
    left_over.mkdir()
    async with environments._building.setdefault(half_built.name, asyncio.Lock()):
        (tmp_path / "third.txt").write_text("# third\n")
        third, _ = await environments._python(Environment(lock="third.txt"), site_in(tmp_path))
    assert [python.exists() for python in pythons] == [True, False]
    assert third.exists()
    assert half_built.exists()
    assert not left_over.exists()


async def test_an_interpreter_that_vanished_is_built_again(tmp_path: Path) -> None:
    environments = Environments(tmp_path / "home", threads=1, maximum_bytes=1 << 40)
    (tmp_path / "a.txt").write_text("")
    python, _ = await environments._python(Environment(lock="a.txt"), site_in(tmp_path))
    python.unlink()
    again, _ = await environments._python(Environment(lock="a.txt"), site_in(tmp_path))
    assert again == python
    assert python.exists()


async def test_an_interrupted_build_starts_again(tmp_path: Path) -> None:
    environments = Environments(tmp_path / "home", threads=1, maximum_bytes=1 << 40)
    (tmp_path / "a.txt").write_text("")
    python, _ = await environments._python(Environment(lock="a.txt"), site_in(tmp_path))
    (python.parent.parent / "headway-complete").unlink()
    python.unlink()
    again, _ = await environments._python(Environment(lock="a.txt"), site_in(tmp_path))
    assert again == python
    assert python.exists()


async def test_files_of_earlier_attempts_do_not_change_the_environment(tmp_path: Path) -> None:
    """Given a requirement `.`, when a retry finds files of the first attempt, only the sent files are built, once."""

    async def unpack(folder: Path) -> None:
        (folder / "mine").mkdir(parents=True)
        (folder / "mine" / "__init__.py").write_text("VALUE = 'sent'")
        (folder / "requirements.txt").write_text(".\n")
        (folder / "pyproject.toml").write_text(
            '[project]\nname = "mine"\nversion = "1"\n[tool.setuptools]\npackages = ["mine"]\n'
        )

    def value(python: Path) -> str:
        command = [python, "-c", "import mine; print(mine.VALUE)"]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    lines: list[str] = []
    work, own = tmp_path / "work", tmp_path / "own"
    await unpack(work)
    environments = Environments(tmp_path / "home", threads=1, maximum_bytes=1 << 40)
    lock = Environment(lock="requirements.txt")
    first, _ = await environments._python(lock, BuildSite(work, own, lines.append))
    (work / "checkpoint-1.pt").write_text("weights")
    (work / "mine" / "__init__.py").write_text("VALUE = 'changed'")
    again, _ = await environments._python(lock, BuildSite(work, own, lines.append, unpack))
    assert again == first
    assert len([line for line in lines if line.startswith("Building the environment")]) == 1
    other = Environments(tmp_path / "other", threads=1, maximum_bytes=1 << 40)
    elsewhere, _ = await other._python(lock, BuildSite(work, own, lines.append, unpack))
    assert (value(first), value(elsewhere)) == ("sent\n", "sent\n")
    assert {path.name for path in tmp_path.iterdir()} == {"home", "other", "work"}


async def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho 3 8\n")
    old.chmod(0o755)
    environments = Environments(tmp_path / "home", threads=1, maximum_bytes=1)
    with pytest.raises(EnvironmentFailed, match=r"is Python 3\.8; 3\.11 or newer is needed"):
        await environments._python(Environment(python=str(old)), site_in(tmp_path))
    assert await environments._python(Environment(python=sys.executable), site_in(tmp_path))


async def test_a_cancelled_attempt_releases_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given an attempt that waits for a forkserver, when it is cancelled, then its environment may be dropped."""
    waits, never = asyncio.Event(), asyncio.Event()

    async def wait(*_: object) -> None:
        waits.set()
        await never.wait()

    monkeypatch.setattr(Forkserver, "run", wait)
    monkeypatch.setattr(Forkserver, "wait_until_warm", wait)
    environments = Environments(tmp_path / "home", threads=1, maximum_bytes=1)
    environment = Environment(python=sys.executable)
    acquiring = asyncio.create_task(environments.acquire(environment, site_in(tmp_path)))
    await waits.wait()
    while not any(environments._used.values()):
        await asyncio.sleep(0.01)
    acquiring.cancel()
    await asyncio.gather(acquiring, return_exceptions=True)
    assert not any(environments._used.values())
    for _, task in environments._warm.values():
        task.cancel()
