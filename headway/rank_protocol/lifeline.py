"""Makes processes end with their parent, however the parent ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent(parent_pid: int) -> None:
    """Let the kernel kill this process when the thread that forked it ends (Linux, prctl(2)).

    On other systems a thread checks once a second whether the parent is still the same.
    """
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent_pid:
            os._exit(1)
    else:
        threading.Thread(target=_watch_parent, args=(parent_pid,), daemon=True).start()


def adopt_orphans() -> None:
    """Make this process the parent of its descendants' orphans, so that it can end them (Linux, prctl(2))."""
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def _watch_parent(parent_pid: int) -> None:
    waiting = threading.Event()
    while os.getppid() == parent_pid:
        waiting.wait(1.0)
    os.kill(os.getpid(), signal.SIGKILL)
