"""Registers the worker with its server, and keeps who it is for its next start."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

from headway.core.protocol import Registered, Registration
from headway.core.worker import WorkerDescription
from headway.errors import HeadwayError, NotAuthenticated, SettingInvalid, Unavailable
from headway.worker.connection import Connection

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5


async def register(connection: Connection, description: WorkerDescription, token: str, home: Path) -> Registered:
    """Get a worker id; the former one, if there is one, is lost from then on. Retries until a server answers.

    Raises SettingInvalid when the server refuses the worker.
    """
    session_file = home / "session.json"
    warned = False
    while True:
        former = _former_token(session_file)
        try:
            registered = await connection.register(Registration(worker=description, former_token=former), token)
        except Unavailable as error:
            if not warned:
                _log.warning("%s Trying again until it does.", error)
            warned = True
            await asyncio.sleep(_RETRY_SECONDS)
        except HeadwayError as error:
            if former is None or not isinstance(error, NotAuthenticated):
                raise SettingInvalid(f"The server refuses this worker: {error}") from error
            session_file.unlink(missing_ok=True)  # the server has a new home, where the former id means nothing
        else:
            _write_session(session_file, registered)
            _log.info("Registered as %s with %d slots.", registered.name, description.slots)
            return registered


def _former_token(path: Path) -> str | None:
    """The token of the worker's former start; None if there is none, or the file was damaged."""
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
