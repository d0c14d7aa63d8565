"""The secret and the two token files of a home. They are created at the first start and renewed before they expire."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from headway.errors import NotAuthenticated, SettingInvalid
from headway.private_files import private_home
from headway.server.access import Caller, CallerKind
from headway.server.tokens import Token, Tokens

_log = logging.getLogger(__name__)
_FILES = {"user.token": CallerKind.USER, "worker.token": CallerKind.JOIN}
_NAMES = (*_FILES, "secret", "server.url", "headway*.db*", "headway.lock", "objects", "worker", "workers")
"""The files in a home."""
_LOOK_SECONDS = 3600.0
_DAY_SECONDS = 86_400.0


class HomeTokens:
    """`user.token` is for people, `worker.token` lets a machine register as a worker. Only their owner can read them.

    Files that were in the home before are made private. Raises SettingInvalid when the home cannot be written or made
    private.
    """

    def __init__(self, home: Path, now: Callable[[], float], token_days: float | None = None) -> None:
        """`token_days`: how long new tokens are valid; None: they do not expire."""
        self._home = home
        self._now = now
        self._lifetime_seconds = None if token_days is None else token_days * _DAY_SECONDS
        try:
            private_home(home, _NAMES)
            self.tokens = Tokens(_read_or_make(home / "secret", secrets.token_urlsafe(32)), now)
            for name, kind in _FILES.items():
                _read_or_make(home / name, self._make(kind))
            self.renew()
        except OSError as error:
            raise SettingInvalid(f"HEADWAY_HOME is {home}, which cannot be used: {error}") from error

    def adopt(self, secret: str) -> None:
        """Sign with the installation's secret, which another server has drawn, and write the home's files again."""
        if secret == self.tokens.secret:
            return
        self.tokens.use(secret)
        _replace(self._home / "secret", secret)
        for name, kind in _FILES.items():
            _replace(self._home / name, self._make(kind))

    def present(self) -> list[Token]:
        """The tokens in the home, without those of another installation."""
        return [*self._stated().values()]

    def replace(self, credential: str) -> None:
        """Write a new token in place of the one with this id, if the home has it. Raises OSError."""
        for name, token in self._stated().items():
            if token.caller.credential == credential:
                _replace(self._home / name, self._make(_FILES[name]))

    def _stated(self) -> dict[str, Token]:
        found = {}
        for name in _FILES:
            with suppress(NotAuthenticated, OSError):
                found[name] = self.tokens.read((self._home / name).read_text().strip())
        return found

    def renew(self) -> None:
        """Replace each token that has less than half of its time left, or that should expire but does not.

        Raises OSError.
        """
        for name, token in self._stated().items():
            if self._is_due(token):
                _replace(self._home / name, self._make(_FILES[name]))
                _log.info("%s is renewed.", self._home / name)

    async def keep_renewing(self) -> None:
        """Renew tokens once an hour, forever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await asyncio.to_thread(self.renew)
            except OSError as error:
                _log.error("The tokens in %s cannot be renewed: %s", self._home, error)

    def _is_due(self, token: Token) -> bool:
        if token.expires_at is None:
            return self._lifetime_seconds is not None
        return token.expires_at - self._now() < (self._lifetime_seconds or 0) / 2

    def _make(self, kind: CallerKind) -> str:
        return self.tokens.make(Caller(kind), lifetime_seconds=self._lifetime_seconds)


def _read_or_make(path: Path, value: str) -> str:
    try:
        _write(path, value)
    except FileExistsError:
        return path.read_text().strip()
    return value


def _replace(path: Path, value: str) -> None:
    """Replace a file at once: readers see the whole old file or the whole new one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    _write(partial, value)
    partial.rename(path)


def _write(path: Path, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value + "\n")
        file.flush()
        os.fsync(descriptor)
