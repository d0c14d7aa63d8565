"""The token of a login: renewed in time, once for all programs of a home, and stored for its owner only."""

from __future__ import annotations

import stat
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from headway.client.logins import Login, LoginAuth, store_login, stored_login
from headway.errors import NotAuthenticated

URL = "http://server:1"


class Answers:
    """A server that gives tokens with numbers, and accepts only the newest."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.newest = 0
        monkeypatch.setattr(httpx, "post", self.renew)

    def renew(self, url: str, json: dict[str, Any], timeout: float) -> httpx.Response:
        if json["refresh_token"] != f"r{self.newest}":
            return httpx.Response(401, json={"code": "not_authenticated", "detail": "It was used already."})
        self.newest += 1
        tokens = {"token": f"a{self.newest}", "refresh_token": f"r{self.newest}", "valid_seconds": 900.0}
        return httpx.Response(201, json=tokens)

    def answer(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200 if request.headers["Authorization"] == f"Bearer a{self.newest}" else 401)

    def status(self, auth: LoginAuth) -> int:
        with httpx.Client(transport=httpx.MockTransport(self.answer), auth=auth) as http:
            return http.get(URL).status_code


def test_a_token_is_renewed_in_time_and_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a token whose time is nearly over, when two programs of the home use it, then the first one renews it."""
    server, old = Answers(monkeypatch), Login(URL, "a0", "r0", renew_at=time.time() - 1)
    store_login(tmp_path, old)
    assert [server.status(LoginAuth(tmp_path, old)) for _ in range(2)] == [200, 200]
    assert server.newest == 1
    kept = stored_login(tmp_path)
    assert kept is not None
    assert (kept.token, kept.refresh_token) == ("a1", "r1")
    assert kept.renew_at == pytest.approx(time.time() + 720, abs=30)
    assert stat.S_IMODE((tmp_path / "login.json").stat().st_mode) == 0o600


def test_a_refused_token_is_renewed_whatever_the_clock_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a clock that is wrong, when the server refuses the token, then it is renewed and the request sent again."""
    server, old = Answers(monkeypatch), Login(URL, "stale", "r0", renew_at=time.time() + 9_000)
    store_login(tmp_path, old)
    assert server.status(LoginAuth(tmp_path, old)) == 200


def test_a_session_that_is_over_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, old = Answers(monkeypatch), Login(URL, "a0", "used", renew_at=0)
    store_login(tmp_path, old)
    with pytest.raises(NotAuthenticated, match="It was used already"):
        server.status(LoginAuth(tmp_path, old))


def test_a_login_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "login.json").write_text('{"url": "http://server:1", "token": "hwp_x"}')
    assert stored_login(tmp_path) == Login(URL, "hwp_x")
