"""Where one is logged in: the server and the tokens, in a file of the home that only its owner may read."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from headway.errors import SettingInvalid, error_from_answer

_FILE = "login.json"
_RENEWED_AFTER = 0.8
"""At which part of its time a token is renewed."""
_RENEWAL_SECONDS = 30.0


class Login(NamedTuple):
    """A server's URL, and the token for it. A token with `refresh_token` is renewed at `renew_at`, by this clock."""

    url: str
    token: str
    refresh_token: str | None = None
    renew_at: float = 0.0


def login_of(url: str, tokens: dict[str, Any]) -> Login:
    """The login that the server's answer with tokens describes."""
    renew_at = time.time() + _RENEWED_AFTER * float(tokens["valid_seconds"])
    return Login(url, str(tokens["token"]), str(tokens["refresh_token"]), renew_at)


def stored_login(home: Path) -> Login | None:
    """The login of this home; None if there is none that can be read. Raises SettingInvalid for another content."""
    path = home / _FILE
    try:
        content = json.loads(path.read_text())
        return Login(**{"url": content["url"], "token": content["token"], **content})
    except OSError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise SettingInvalid(f"{path} cannot be read. Log in again: headway login URL") from error


def store_login(home: Path, login: Login) -> None:
    """Keep a login in place of the one before. Raises OSError."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = home / _FILE
    partial = path.with_name(f".{_FILE}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(login._asdict(), file)
    partial.rename(path)


def forget_login(home: Path) -> None:
    """Let the home have no login any more. Raises OSError."""
    (home / _FILE).unlink(missing_ok=True)


class TokenAuth(httpx.Auth):
    """Sends one token with every request."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See httpx."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


class LoginAuth(httpx.Auth):
    """Sends the token of a home's login, and renews it in time. Programs that share the home renew it once."""

    def __init__(self, home: Path, login: Login) -> None:
        self._home = home
        self._login = login

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """See httpx. A request that is refused is sent once more, if the token was not the newest."""
        if self._login.renew_at <= time.time():
            self._renew()
        sent = self._login.token
        request.headers["Authorization"] = f"Bearer {sent}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED and isinstance(request.stream, httpx.ByteStream):
            self._renew()
            if self._login.token != sent:
                request.headers["Authorization"] = f"Bearer {self._login.token}"
                yield request

    def _renew(self) -> None:
        """Use the tokens that another program got meanwhile, or get new ones. Raises the error of the server."""
        with _locked(self._home):
            current = stored_login(self._home)
            if current is not None and current.url == self._login.url and current != self._login:
                self._login = current
                if current.renew_at > time.time():
                    return
            answer = httpx.post(
                f"{self._login.url}/api/v1/session/renew",
                json={"refresh_token": self._login.refresh_token},
                timeout=_RENEWAL_SECONDS,
            )
            if not answer.is_success:
                raise error_from_answer(answer.status_code, answer.content)
            self._login = login_of(self._login.url, answer.json())
            if current is not None:
                store_login(self._home, self._login)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    with (home / f".{_FILE}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
