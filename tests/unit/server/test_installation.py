"""Servers on one database are one installation, and use its object store alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headway.core.installation import Installation
from headway.errors import SettingInvalid
from headway.objects.files import FileObjects
from headway.server.home_tokens import HomeTokens
from headway.server.installation import claim_objects, join_installation, put_mark, read_mark
from tests.unit.server.still_server import StillServer, still_server

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[StillServer]:
    async with still_server(tmp_path) as server:
        yield server


@pytest.fixture
async def objects(tmp_path: Path) -> AsyncIterator[FileObjects]:
    """An empty store."""
    objects = FileObjects(f"file://{tmp_path}/objects")
    await objects.open()
    yield objects
    await objects.close()


async def test_the_second_server_takes_the_secret_of_the_first(server: StillServer, tmp_path: Path) -> None:
    first = await join_installation(server.settings, server.backends.database, server.home)
    home = HomeTokens(tmp_path / "second", server.clock.now)
    assert home.tokens.secret != first.secret
    assert await join_installation(server.settings, server.backends.database, home) == first
    assert home.tokens.secret == first.secret


async def test_a_damaged_installation_stops_the_start_with_the_command(
    server: StillServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def damaged(proposed: Installation) -> Installation:
        return Installation.model_validate_json("{}")

    monkeypatch.setattr(server.backends.database, "installation", damaged)
    with pytest.raises(SettingInvalid, match="`installation` is damaged"):
        await join_installation(server.settings, server.backends.database, server.home)


async def test_a_new_store_is_marked_and_another_installation_refused_it(
    server: StillServer, objects: FileObjects
) -> None:
    database = server.backends.database
    mine, other = Installation(id="i-mine", secret="x"), Installation(id="i-other", secret="x")
    assert await read_mark(objects) is None
    for _ in range(2):  # the second time it is its own
        await claim_objects(server.settings, mine, database, objects)
        assert await read_mark(objects) == "i-mine"
    with pytest.raises(SettingInvalid, match="belongs to another installation"):
        await claim_objects(server.settings, other, database, objects)
    assert await read_mark(objects) == "i-mine"
    await put_mark(objects, other)
    await claim_objects(server.settings, other, database, objects)


async def test_an_empty_store_is_refused_where_servers_share_jobs(
    server: StillServer, objects: FileObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an installation with jobs on a shared database, then an empty store is not its store: nothing is marked."""
    installation = Installation(id="i-mine", secret="x")
    await server.a_job()
    database = server.backends.database
    monkeypatch.setattr(type(database), "shared", True)
    with pytest.raises(SettingInvalid, match="is empty, but this installation has jobs already"):
        await claim_objects(server.settings, installation, database, objects)
    assert await read_mark(objects) is None
    monkeypatch.setattr(type(database), "shared", False)
    await claim_objects(server.settings, installation, database, objects)
    assert await read_mark(objects) == "i-mine"
