"""Does the interpreter's clean-up for a process that exits by os._exit. Standard library only.

A real exit destroys all imported modules, including torch. That takes a second, and sometimes aborts in torch's process
groups. So only the script's own objects are destroyed here, and buffers are written.
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

_FILE: type[Any] = io.IOBase.__mro__[1]  # avoids the slow checks of an abstract class
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_LIBRARIES += (str(Path(__file__).parents[1]),)
_newest_library = ""


def begin_script() -> None:
    """Note that the script starts now: clean-up that the fork's parent registered is not the script's."""
    global _newest_library
    _newest_library = next(reversed(sys.modules))
    for finalizer in [*weakref.finalize._registry]:  # type: ignore[attr-defined]
        finalizer.atexit = False


def has_children() -> bool:
    """Whether multiprocessing has to wait for processes that the script started."""
    process: Any = sys.modules.get("multiprocessing.process")
    return process is not None and any(not child.daemon for child in process.active_children())


def run_exit_handlers() -> None:
    """Run the exit handlers of the script and its imports, the last registered first; each runs once."""
    atexit._run_exitfuncs()


def end_interpreter() -> None:
    """Run exit handlers, destroy the script's modules, and write buffers, in the interpreter's order.

    The caller must have waited for threads that are not daemons. See Py_FinalizeEx() in CPython.
    """
    run_exit_handlers()
    _flush_standard_streams()
    threading.excepthook = lambda _: None  # the interpreter would have stopped threads that now find objects missing
    files = _files()  # a collection would close them in any order
    _destroy_script()
    _close(files)
    _flush_standard_streams()
    ctypes.CDLL(None).fflush(None)  # the output of C libraries


def _flush_standard_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # a script may have closed or replaced it
            stream.flush()


def _destroy_script() -> None:
    """Drop the script's modules and references to them, so that files are closed and `__del__` is called."""
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
    """Whether the module is not part of a library. Destroying libraries takes time and saves nothing."""
    file = getattr(module, "__dict__", {}).get("__file__")
    return isinstance(file, str) and not file.startswith(_LIBRARIES) and "site-packages" not in file


def _files() -> list[Any]:
    """All files, the newest first."""
    return [one for one in gc.get_objects() if issubclass(type(one), _FILE)][::-1]


def _close(files: list[Any]) -> None:
    """Close files that write into another file before that file."""
    for file in sorted(files, key=_depth):
        with suppress(Exception):
            if not _is_standard(file):
                file.close()


def _depth(file: Any) -> int:
    """The layer of a file: text writes into a packed file or a buffer, a packed file into a buffer, a buffer into a raw
    file.
    """
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
