"""Signed tokens. The signing secret is made at the first start and never leaves the server's home."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from itsdangerous import BadSignature, URLSafeSerializer

from headway.errors import NotAuthenticated, SettingInvalid
from headway.private_files import private_home
from headway.server.access import Caller, CallerKind


class Tokens:
    """Makes and reads tokens: a caller's kind, and what it is bound to, with a signature."""

    def __init__(self, secret: str) -> None:
        self.use(secret)

    def make(self, caller: Caller) -> str:
        """The token of a caller."""
        fields = [caller.kind.value, caller.worker, caller.job, caller.attempt]
        return "hw_" + str(self._serializer.dumps(fields))

    def read(self, token: str) -> Caller:
        """The caller of a token. Raises NotAuthenticated when this installation did not sign it."""
        try:
            kind, worker, job, attempt = self._serializer.loads(token.removeprefix("hw_"))
            return Caller(CallerKind(kind), worker, job, attempt)
        except (BadSignature, ValueError, TypeError) as error:
            raise NotAuthenticated("The token is not one of this installation. Use the one in its home.") from error

    def use(self, secret: str) -> None:
        """Sign with this secret from now on."""
        self.secret = secret
        self._serializer = URLSafeSerializer(secret, salt="headway.token.1")


_FILES = {"user.token": CallerKind.USER, "worker.token": CallerKind.JOIN}
_NAMES = (
    *_FILES,
    "secret",
    "server.url",
    "headway*.db*",
    "headway.lock",
    "headway.log*",
    "objects",
    "worker",
    "workers",
)
"""What a home has."""


def open_home(home: Path) -> Tokens:
    """The tokens of a home; at the first start its secret and token files are made, readable by their owner only.

    `user.token` is for people, `worker.token` lets a machine register as a worker.
    What was there already is closed to others. Raises SettingInvalid when the home cannot be written, or closed.
    """
    try:
        private_home(home, _NAMES)
        tokens = Tokens(_read_or_make(home / "secret", secrets.token_urlsafe(32)))
        for name, kind in _FILES.items():
            _read_or_make(home / name, tokens.make(Caller(kind)))
    except OSError as error:
        raise SettingInvalid(f"HEADWAY_HOME is {home}, which cannot be used: {error}") from error
    return tokens


def adopt_secret(home: Path, tokens: Tokens, secret: str) -> None:
    """Sign with the installation's secret, which another server has drawn; the home's files are written anew."""
    if secret == tokens.secret:
        return
    tokens.use(secret)
    for name, content in (("secret", secret), *((name, tokens.make(Caller(kind))) for name, kind in _FILES.items())):
        (home / name).unlink(missing_ok=True)
        _read_or_make(home / name, content)


def _read_or_make(path: Path, value: str) -> str:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(value + "\n")
        file.flush()
        os.fsync(descriptor)
    return value
