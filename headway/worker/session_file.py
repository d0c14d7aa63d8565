"""Who the worker is to the server, kept for its next start."""

from __future__ import annotations

import json
from pathlib import Path

from headway.core.protocol import Registered


def former_token(path: Path) -> str | None:
    """The token of the worker's former life; None if there is none, or the file was damaged."""
    try:
        return str(json.loads(path.read_text())["token"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_session(path: Path, registered: Registered) -> None:
    """Keep the id and the token, readable by the owner only."""
    temporary = path.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps({"id": registered.id, "token": registered.token}))
    temporary.rename(path)
