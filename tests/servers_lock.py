"""Who may use the real servers now: many tests at once, or one that kills, pauses or changes a server.

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
    """Wait until no other test disturbs the servers; none does until this test ends."""
    if not _held:
        _held.append(_entered(fcntl.LOCK_SH))


@contextmanager
def servers_of_a_test(*, disturbs: bool) -> Iterator[None]:
    """A test that disturbs servers waits until no other uses one, and has them for itself."""
    if disturbs:
        _held.append(_entered(fcntl.LOCK_EX))
    try:
        yield
    finally:
        while _held:
            _held.pop().close()


def _entered(mode: int) -> BinaryIO:
    """Who waits for the room has the turn, so that a stream of users keeps nobody waiting who wants it alone."""
    with _TURN.open("ab") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        room = _ROOM.open("ab")
        fcntl.flock(room, mode)
    return room
