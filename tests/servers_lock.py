"""A lock for the real servers: many tests use them at once, or one test that kills, pauses or changes a server.

The locks are files, so that they hold between the processes of one run, and between runs on one machine.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_TURN, _ROOM = (Path(tempfile.gettempdir()) / f"headway-tests-servers.{name}" for name in ("turn", "room"))
_held: list[BinaryIO] = []


def use_servers() -> None:
    """Wait until no other test disturbs the servers. None does until this test ends."""
    if not _held:
        _held.append(_entered(fcntl.LOCK_SH))


@contextmanager
def servers_of_a_test(*, disturbs: bool) -> Iterator[None]:
    """Let a test that disturbs servers wait until no other test uses one, then use them alone."""
    if disturbs:
        _held.append(_entered(fcntl.LOCK_EX))
    try:
        yield
    finally:
        while _held:
            _held.pop().close()


def _entered(mode: int) -> BinaryIO:
    """The first test that waits goes next, so that many users do not starve a test that needs the servers alone."""
    with _TURN.open("ab") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        room = _ROOM.open("ab")
        fcntl.flock(room, mode)
    return room
