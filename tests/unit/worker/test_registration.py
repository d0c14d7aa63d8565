"""A worker tries to register until a server accepts it, and keeps its id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headway.core.protocol import Registered, Registration, Timeouts
from headway.core.worker import WorkerDescription
from headway.errors import HeadwayError, NotAuthenticated, SettingInvalid, TokenExpired, Unavailable
from headway.worker import registration as registration_module
from headway.worker.registration import JoinToken, register

pytestmark = pytest.mark.anyio
DESCRIPTION = WorkerDescription(
    name="a", slots=1, threads_per_slot=1, host="127.0.0.1", port=1, version="1", platform="linux"
)


class Server:
    """A server that answers each registration with the next error, or accepts the worker."""

    def __init__(self, *answers: HeadwayError | None) -> None:
        self._answers = list(answers)
        self.former: list[str | None] = []
        self.tokens: list[str] = []

    async def register(self, registration: Registration, token: str) -> Registered:
        self.former.append(registration.former_token)
        self.tokens.append(token)
        answer = self._answers.pop(0)
        if answer is not None:
            raise answer
        return Registered(id="w-2", token="second", name="a", timeouts=Timeouts(), broker="/broker")


async def registered(server: Server, home: Path) -> Registered:
    connection: Any = server
    (home / "worker.token").write_text("join\n")
    return await register(connection, DESCRIPTION, JoinToken(home / "worker.token"), home)


async def test_it_waits_for_a_server_and_keeps_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration_module, "_RETRY_SECONDS", 0.0)
    server = Server(Unavailable("No server answers."), Unavailable("No server answers."), None, None)
    await registered(server, tmp_path)
    assert server.former == [None, None, None]
    file = tmp_path / "session.json"
    assert json.loads(file.read_text()) == {"id": "w-2", "token": "second"}
    assert file.stat().st_mode & 0o077 == 0
    await registered(server, tmp_path)
    assert server.former[-1] == "second"


async def test_a_server_with_a_new_home_takes_it_without_its_former_id(tmp_path: Path) -> None:
    (tmp_path / "session.json").write_text('{"id": "w-1", "token": "first"}')
    server = Server(NotAuthenticated("The token is not of this server."), None)
    await registered(server, tmp_path)
    assert server.former == ["first", None]


@pytest.mark.parametrize("content", ["", "[]", "{}", "5"])
async def test_a_damaged_note_is_left_out(tmp_path: Path, content: str) -> None:
    (tmp_path / "session.json").write_text(content)
    server = Server(None)
    await registered(server, tmp_path)
    assert server.former == [None]


async def test_a_refused_worker_ends_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="refuses this worker: The token is wrong"):
        await registered(Server(NotAuthenticated("The token is wrong.")), tmp_path)


async def test_an_expired_join_token_ends_the_worker_and_keeps_its_id(tmp_path: Path) -> None:
    """Given a worker that was registered, then at its next start it still owns the reports of its former id."""
    (tmp_path / "session.json").write_text('{"id": "w-1", "token": "first"}')
    with pytest.raises(SettingInvalid, match="refuses this worker: This join token expired"):
        await registered(Server(TokenExpired("This join token expired.")), tmp_path)
    server = Server(None)
    await registered(server, tmp_path)
    assert server.former == ["first"]


async def test_a_renewed_join_token_is_used(tmp_path: Path) -> None:
    server = Server(None, None, None)
    connection: Any = server
    path = tmp_path / "worker.token"
    path.write_text("one\n")
    token = JoinToken(path)
    await register(connection, DESCRIPTION, token, tmp_path)
    path.write_text("two\n")
    await register(connection, DESCRIPTION, token, tmp_path)
    path.unlink()
    await register(connection, DESCRIPTION, token, tmp_path)
    assert server.tokens == ["one", "two", "two"]


async def test_a_token_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match=r"--token-file .*none cannot be read \(No such file or directory\)"):
        JoinToken(tmp_path / "none")
