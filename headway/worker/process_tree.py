"""Ends a process and everything that it started, in any process state."""

from __future__ import annotations

import time
from contextlib import suppress

import psutil

_LIMIT_SECONDS = 10.0
_LOOK_SECONDS = 0.02


def end_tree(root: psutil.Process) -> bool:
    """Kill a process that adopts its descendants' orphans, and all processes below it. Blocks until they have ended.

    False if some remain because a driver or a file system holds them. Stopped processes end as well.
    """
    deadline = time.monotonic() + _LIMIT_SECONDS
    with suppress(psutil.Error):
        root.suspend()  # it starts no more processes, and while it exists, its orphans get no other parent
        while (left := _living(root)) and time.monotonic() < deadline:
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(_LOOK_SECONDS)
    with suppress(psutil.Error):
        root.kill()
    while is_alive(root) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return not is_alive(root)


def _living(root: psutil.Process) -> list[psutil.Process]:
    return [process for process in root.children(recursive=True) if is_alive(process)]


def is_alive(process: psutil.Process) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
