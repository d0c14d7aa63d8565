"""HTTP to a server: its address, the token, and its errors."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from headway.client.logins import LoginAuth, TokenAuth, stored_login
from headway.core.json_value import check_json, shown
from headway.errors import HeadwayError, InvalidInput, SettingInvalid, Unavailable, error_from_answer
from headway.home import default_home

DEFAULT_URL = "http://127.0.0.1:8420"
RETRIES_SECONDS = (0.1, 0.3, 0.5, 0.5, 0.5, 0.5, 1.0, 2.0)
TIMEOUT_SECONDS = 30.0


def client_home(home: Path | None = None) -> Path:
    """The home from which the token and the server's address are read."""
    return home or default_home()


def server_url(url: str | None = None, home: Path | None = None) -> str:
    """The server's address: as given, HEADWAY_SERVER_URL, that of `headway login`, that of the home's server, or the
    default.

    Raises SettingInvalid for a home that is closed to this user.
    """
    found = url or os.environ.get("HEADWAY_SERVER_URL")
    if not found:
        login = stored_login(client_home(home))
        found = login.url if login is not None else _written_url(client_home(home) / "server.url")
    return found.rstrip("/")


def _written_url(path: Path) -> str:
    try:
        return path.read_text().strip() or DEFAULT_URL
    except (FileNotFoundError, NotADirectoryError):
        return DEFAULT_URL
    except OSError as error:
        raise SettingInvalid(
            f"{path} cannot be read ({error.strerror}). Set HEADWAY_HOME to a home of your own, "
            "or HEADWAY_SERVER_URL and HEADWAY_TOKEN."
        ) from error


def user_credential(token: str | None = None, home: Path | None = None, url: str = "") -> httpx.Auth:
    """The user's token: as given, HEADWAY_TOKEN, that of the login at this URL, or that of the home.

    Raises SettingInvalid when there is none.
    """
    found = token or os.environ.get("HEADWAY_TOKEN")
    if found:
        return TokenAuth(found)
    login = stored_login(client_home(home))
    if login is not None and login.url == url:
        return LoginAuth(client_home(home), login) if login.refresh_token else TokenAuth(login.token)
    path = client_home(home) / "user.token"
    try:
        return TokenAuth(path.read_text().strip())
    except OSError as error:
        raise SettingInvalid(
            f"There is no token: {path} cannot be read. Start a server with `headway up`, log in with "
            "`headway login URL`, or set HEADWAY_TOKEN or HEADWAY_HOME."
        ) from error


class Connection:
    """Requests to `/api/v1`. Raises the error that the server names, Unavailable when none answers."""

    def __init__(self, urls: str, credential: httpx.Auth, project: str | None = None) -> None:
        """`urls`: of one server, or of several on one database, with commas. If one is away, the next is asked.

        `project`: the project of every request; None: the server chooses.
        """
        self._urls = [url.strip().rstrip("/") for url in urls.split(",")]
        self.http = httpx.Client(
            auth=credential,
            params={"project": project} if project else None,
            timeout=TIMEOUT_SECONDS,
        )
        self._use(self._urls[0])

    def _use(self, url: str) -> None:
        self.url = url
        self.http.base_url = httpx.URL(f"{url}/api/v1")

    def request(self, method: str, path: str, *, retry: bool = False, **options: Any) -> httpx.Response:
        """Send a request. Reads, and requests with `retry`, are sent again while the server is away.

        Raises InvalidInput before anything is sent if the option `json` has a value that JSON cannot hold.
        """
        if "json" in options:
            options["content"] = _encoded(options.pop("json"))
            options["headers"] = {"Content-Type": "application/json", **options.get("headers", {})}
        may_repeat = retry or method in ("GET", "HEAD")
        for wait_seconds in (*(RETRIES_SECONDS if may_repeat else ()), None):
            for _ in self._urls:
                try:
                    response = self.http.request(method, path, **options)
                    if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
                        return response
                    error = error_of(response)
                    break
                except UnicodeEncodeError as unicode_error:
                    raise InvalidInput(f"{shown(unicode_error.object)} is not valid Unicode text.") from unicode_error
                except httpx.HTTPError as http_error:
                    error = self.unavailable(http_error)
                    if not may_repeat and not isinstance(http_error, httpx.ConnectError):
                        break  # the server may have received it
            if wait_seconds is None or not error.retryable:
                raise error
            time.sleep(wait_seconds)
        raise AssertionError("unreachable")

    def unavailable(self, error: httpx.HTTPError) -> Unavailable:
        """The error that no server answers. The next request goes to the next server, if there are several."""
        asked = self.url
        self._use(self._urls[(self._urls.index(asked) + 1) % len(self._urls)])
        return Unavailable(
            f"No server answers at {asked} ({error or type(error).__name__}). "
            "Start one with `headway up`, or set HEADWAY_SERVER_URL."
        )


def _encoded(value: Any) -> bytes:
    check_json(value)
    return json.dumps(value).encode()


def path_part(name: str) -> str:
    """A name, encoded as a part of a path."""
    return quote(name, safe="", errors="backslashreplace")


def error_of(response: httpx.Response) -> HeadwayError:
    """The error in an answer."""
    return error_from_answer(response.status_code, response.content)
