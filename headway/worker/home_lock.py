"""The worker's home. Only one worker uses it at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headway.errors import SettingInvalid
from headway.private_files import private_home

_NAMES = ("worker.lock", "session.*", "spool", "attempts", "jobs", "cache", "environments", "packages")
"""The folders in a worker's home."""


@contextmanager
def locked_home(home: Path) -> Iterator[None]:
    """Create the home, make it private, and hold its lock.

    Raises SettingInvalid if the home cannot be used, or another worker runs in it.
    """
    try:
        private_home(home, _NAMES)
        lock = (home / "worker.lock").open("ab")
    except OSError as error:
        raise SettingInvalid(f"The worker's home {home} cannot be used: {error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingInvalid(
                f"Another worker runs in {home}. Start this one with another --name or --home."
            ) from None
        yield
