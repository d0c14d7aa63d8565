"""Where one is logged in: the server and the token, in a file of the home that only its owner may read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from headway.errors import SettingInvalid

_FILE = "login.json"


class Login(NamedTuple):
    """A server's URL, and the token for it."""

    url: str
    token: str


def stored_login(home: Path) -> Login | None:
    """The login of this home; None if there is none that can be read. Raises SettingInvalid for another content."""
    path = home / _FILE
    try:
        content = json.loads(path.read_text())
        return Login(str(content["url"]), str(content["token"]))
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
