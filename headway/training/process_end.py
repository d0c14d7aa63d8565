"""What the interpreter does at its end, for a process that leaves by os._exit. Standard library only.

A real end destroys all that was imported, torch too: that takes a second, and now and then aborts in torch's process
groups. So only what is the script's is destroyed here, and what is buffered is written.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import io
import signal
import sys
import sysconfig
import threading
import weakref
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

_FILE: type[Any] = io.IOBase.__mro__[1]  # without the slow checks of an abstract class
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_LIBRARIES += (str(Path(__file__).parents[1]),)
_newest_library = ""


def begin_script() -> None:
    """Remember that what comes from here on is the script's; what a fork's parent has to clean up is not."""
    global _newest_library
    _newest_library = next(reversed(sys.modules))
    for finalizer in [*weakref.finalize._registry]:  # type: ignore[attr-defined]
        finalizer.atexit = False


def has_children() -> bool:
    """Whether multiprocessing has to wait for processes that the script started."""
    process: Any = sys.modules.get("multiprocessing.process")
    return process is not None and any(not child.daemon for child in process.active_children())


def run_exit_handlers() -> None:
    """Those of the script and of what it imported, the last registered first; each runs once."""
    atexit._run_exitfuncs()


def end_interpreter() -> None:
    """Run exit handlers, destroy the script's modules, and write what is buffered, in the interpreter's order.

    Threads that are no daemons are to have been waited for. See Py_FinalizeEx() in CPython.
    """
    run_exit_handlers()
    _flush_standard_streams()
    threading.excepthook = lambda _: None  # the interpreter would have stopped a thread that misses something now
    files = _files()  # a collection would close them in any order
    _destroy_script()
    _close(files)
    _flush_standard_streams()
    ctypes.CDLL(None).fflush(None)  # what C libraries have printed


def _flush_standard_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # a script may have closed it, or put anything in its place
            stream.flush()


def _destroy_script() -> None:
    """Let go of the script's modules and of what would keep them: files are closed then, and `__del__` is called."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            with suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
    atexit._clear()
    sys.stdout, sys.stderr, sys.excepthook = sys.__stdout__, sys.__stderr__, sys.__excepthook__
    imported = takewhile(lambda name: name != _newest_library, reversed(sys.modules))
    for name in [*imported, "__main__"]:
        if name == "__main__" or _is_users(sys.modules[name]):
            del sys.modules[name]
    gc.collect()


def _is_users(module: Any) -> bool:
    """Whether the module lies where no libraries are; to destroy theirs costs time, and what they hold is not lost."""
    file = getattr(module, "__dict__", {}).get("__file__")
    return isinstance(file, str) and not file.startswith(_LIBRARIES) and "site-packages" not in file


def _files() -> list[Any]:
    """All files, the newest first."""
    return [one for one in gc.get_objects() if issubclass(type(one), _FILE)][::-1]


def _close(files: list[Any]) -> None:
    """Close what writes into another file before that."""
    for file in sorted(files, key=_depth):
        with suppress(Exception):
            if not _is_standard(file):
                file.close()


def _depth(file: Any) -> int:
    """Text is written into a packed file or a buffer, a packed file into a buffer, a buffer into what has no more."""
    if isinstance(file, io.TextIOBase):
        return 0
    if type(file).__module__ != "_io":
        return 1
    return 3 if isinstance(file, io.RawIOBase) else 2


def _is_standard(file: Any) -> bool:
    try:
        return file.fileno() in (0, 1, 2)
    except (OSError, ValueError, AttributeError):
        return False
