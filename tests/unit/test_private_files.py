"""Only the owner can access the files in a home, whatever mode the home had."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path

import pytest

from headway import private_files
from headway.database.sqlite import SqliteDatabase
from headway.errors import SettingInvalid
from headway.objects.base import in_one_chunk
from headway.objects.files import FileObjects
from headway.private_files import close, private_home
from headway.server.home_tokens import HomeTokens


@pytest.fixture(autouse=True)
def _ordinary_umask() -> object:
    former = os.umask(0o022)
    yield
    os.umask(former)


def open_to_others(folder: Path) -> list[str]:
    found = [folder, *folder.rglob("*")]
    return [path.name for path in found if not path.is_symlink() and path.lstat().st_mode & 0o077]


def test_an_existing_home_is_closed(tmp_path: Path) -> None:
    """Given a home that a volume or a restore left open, with a link to a file of another user."""
    outside = tmp_path / "outside"
    outside.write_text("")
    home = tmp_path / "home"
    for name in ("secret", "headway.db", "headway.db-wal", "headway-streams.db", "objects/a/b", "worker/session.json"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("x")
    (home / "worker" / "link").symlink_to(outside)
    assert open_to_others(home)
    HomeTokens(home, time.time)
    assert open_to_others(home) == []
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644


def test_other_things_in_the_folder_stay_as_they_are(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "paper.tex").write_text("x")
    (tmp_path / "secret").write_text("x")
    private_home(tmp_path, ["secret"])
    assert open_to_others(tmp_path) == [tmp_path.name, "paper.tex"]


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777, 0o770, 0o733])
def test_other_users_cannot_write_to_a_home_that_has_other_files(tmp_path: Path, mode: int) -> None:
    """Given a shared folder with a foreign file in it, others can no longer rename or replace our files."""
    tmp_path.chmod(mode)
    (tmp_path / "paper.tex").write_text("x")
    HomeTokens(tmp_path, time.time)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == mode & ~0o022
    assert open_to_others(tmp_path / "secret") == []


def test_a_shared_home_of_another_user_is_refused_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "paper.tex").write_text("x")
    tmp_path.chmod(0o777)
    monkeypatch.setattr(private_files.Path, "chmod", refuse)
    with pytest.raises(SettingInvalid) as caught:
        private_home(tmp_path, ["secret"])
    assert f"{tmp_path} can be changed by others" in caught.value.message
    assert f"Run: sudo chown {os.geteuid()} {tmp_path} && chmod go-w {tmp_path}" in caught.value.message


def test_a_home_of_another_user_is_refused_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "secret").write_text("x")
    monkeypatch.setattr(private_files.Path, "chmod", refuse)
    command = f"Run: sudo chown -R {os.geteuid()} {tmp_path} && chmod -R go-rwx {tmp_path}"
    with pytest.raises(SettingInvalid, match=r"secret can be read by others .* Run: sudo chown -R") as caught:
        HomeTokens(tmp_path, time.time)
    assert command in caught.value.message


def test_a_database_and_a_store_elsewhere_are_closed(tmp_path: Path) -> None:
    """Given a database and objects beside the home that an older version or another umask left open."""
    database, objects = tmp_path / "database" / "x.db", tmp_path / "objects"
    for path in (database, objects / "old" / "object"):
        path.parent.mkdir(parents=True)
        path.touch()

    async def use() -> None:
        opened = SqliteDatabase(f"sqlite://{database}")
        await opened.open()
        store = FileObjects(f"file://{objects}")
        await store.open()
        await store.put("new/object", in_one_chunk(b"x"))
        assert {path.name for path in database.parent.iterdir()} > {"x.db", "x-streams.db", "x.lock"}
        assert [name for name in open_to_others(database.parent) if name.startswith("x")] == []
        assert [name for name in open_to_others(objects) if name == "object"] == []
        await opened.close()

    asyncio.run(use())


def test_a_closed_folder_is_not_looked_through_again(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o755)
    (folder / "first").touch()
    close(folder)
    (folder / "second").touch()
    close(folder)
    assert open_to_others(folder) == ["second"]
    close(folder / "missing")
