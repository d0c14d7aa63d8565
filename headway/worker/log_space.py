"""Frees the disk space of the part of an append-only file that was already read."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from headway.worker.regular_files import open_regular

_STEP_BYTES = 8 << 20
"""Space is freed each time this much has been read."""
_KEPT_BYTES = 1 << 20
"""This much before the read position stays, for the last lines of a failure."""
_KEEP_SIZE, _PUNCH_HOLE = 1, 2
"""Flags of fallocate(2)."""


class LogSpace:
    """Punches holes into the parts of files that were read. Sizes and positions do not change, so no line is lost or
    read twice."""

    def __init__(self) -> None:
        self._given_back: dict[Path, int] = {}

    def give_back(self, path: Path, read_bytes: int) -> bool:
        """Free space well before `read_bytes`, once there is enough. False if the file system does not support it."""
        start, end = self._given_back.get(path, 0), read_bytes - _KEPT_BYTES
        if end - start < _STEP_BYTES:
            return True
        try:
            descriptor = open_regular(path, os.O_WRONLY)
            try:
                _make_hole(descriptor, start, end - start)
            finally:
                os.close(descriptor)
        except OSError:
            return False
        self._given_back[path] = end
        return True


def _make_hole(descriptor: int, start: int, size_bytes: int) -> None:
    if sys.platform != "linux":
        raise OSError("no holes can be made here")
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    if fallocate(descriptor, _KEEP_SIZE | _PUNCH_HOLE, start, size_bytes) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
