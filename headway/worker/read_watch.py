"""Whether anything reads certain files: the kernel tells (inotify), on Linux only."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

from headway.folders import walk

_ACCESSED, _CLOSED_UNCHANGED, _IS_FOLDER = 0x1, 0x10, 0x40000000
"""IN_ACCESS, IN_CLOSE_NOWRITE (of a file that is mapped into memory that is all), IN_ISDIR; see inotify(7)."""
_HEADER = struct.Struct("iIII")
_BUFFER_BYTES = 1 << 16


class ReadWatch:
    """Watches the files below a folder, as they are now, until one is read. `certain`: whether the system can tell."""

    def __init__(self, folder: Path) -> None:
        self.read = False
        self._descriptor = -1
        self._names: dict[int, set[bytes]] = {}
        if sys.platform == "linux":
            self._watch(folder)

    @property
    def certain(self) -> bool:
        """Whether `read` can be relied on."""
        return self._descriptor >= 0 and bool(self._names)

    def look(self, *, own: bool = False) -> bool:
        """Whether a file was read so far. With `own` what happened since the last look was our own reading."""
        while not self.read and self._descriptor >= 0:
            try:
                events = os.read(self._descriptor, _BUFFER_BYTES)
            except BlockingIOError:
                break
            self.read = not own and self._names_a_file(events)
        return self.read

    def close(self) -> None:
        """Watch no longer."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _watch(self, folder: Path) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            return
        for parent, _, names in walk(folder):
            mask = _ACCESSED | _CLOSED_UNCHANGED
            watch = library.inotify_add_watch(self._descriptor, os.fsencode(parent), mask)
            if watch < 0:  # the user's limit of watches is reached
                self.close()
                return
            self._names[watch] = {os.fsencode(name) for name in names}

    def _names_a_file(self, events: bytes) -> bool:
        position = 0
        while position + _HEADER.size <= len(events):
            watch, mask, _, length = _HEADER.unpack_from(events, position)
            name = events[position + _HEADER.size : position + _HEADER.size + length].rstrip(b"\0")
            if not mask & _IS_FOLDER and name in self._names.get(watch, ()):
                return True
            position += _HEADER.size + length
        return False
