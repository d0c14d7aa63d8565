"""Registers the worker with its server, and keeps its id for its next start."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from contextlib import suppress
from math import inf
from pathlib import Path

from headway.core.protocol import Registered, Registration, SeatStart
from headway.core.size import counted
from headway.core.worker import WorkerDescription
from headway.errors import AllocationReleased, HeadwayError, NotAuthenticated, SettingInvalid, TokenExpired, Unavailable
from headway.worker.connection import Connection

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5


class JoinToken:
    """The token that lets this machine register. Its file is read each time, because the token may be renewed."""

    def __init__(self, path: Path) -> None:
        """Raises SettingInvalid."""
        self._path = path
        try:
            self._text = path.read_text().strip()
        except OSError as error:
            raise SettingInvalid(
                f"--token-file {path} cannot be read ({error.strerror}). Copy worker.token from the server's home."
            ) from error

    def read(self) -> str:
        """The current token; the one that was read last if the file no longer exists, as with a pipe."""
        with suppress(OSError):
            if self._path.is_file():
                self._text = self._path.read_text().strip() or self._text
        return self._text


async def register(
    connection: Connection,
    description: WorkerDescription,
    join_token: JoinToken,
    home: Path,
    seat: SeatStart | None = None,
    patience_seconds: float = inf,
) -> Registered:
    """Get a worker id. The former id, if any, is declared lost. Retries until a server answers.

    Raises SettingInvalid when the server refuses the worker; AllocationReleased when a seat is not needed any more;
    Unavailable when no server answers for `patience_seconds`.
    """
    began_at = time.monotonic()
    session_file = home / "session.json"
    warned = False
    while True:
        former = _former_token(session_file)
        try:
            registration = Registration(worker=description, former_token=former, seat=seat)
            registered = await connection.register(registration, join_token.read())
        except Unavailable as error:
            if not warned:
                _log.warning("%s Trying again until it does.", error)
            warned = True
            if time.monotonic() - began_at > patience_seconds:
                raise
            await asyncio.sleep(_RETRY_SECONDS)
        except AllocationReleased:
            raise
        except HeadwayError as error:
            if former is None or not isinstance(error, NotAuthenticated) or isinstance(error, TokenExpired):
                raise SettingInvalid(f"The server refuses this worker: {error}") from error
            session_file.unlink(missing_ok=True)  # the server has a new home and does not know the former id
        else:
            _write_session(session_file, registered)
            _log.info("Registered as %s with %s.", registered.name, counted(description.slots, "slot"))
            return registered


def _former_token(path: Path) -> str | None:
    """The token of the worker's former start; None if there is none, or the file is damaged."""
    try:
        return str(json.loads(path.read_text())["token"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write_session(path: Path, registered: Registered) -> None:
    """Keep the id and the token, readable by the owner only."""
    temporary = path.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps({"id": registered.id, "token": registered.token}))
    temporary.rename(path)
