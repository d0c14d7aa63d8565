"""Detects whether a process reads certain files, by inotify(7). Only on Linux."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Mapping
from pathlib import Path

from headway.folders import walk

_ACCESSED, _CLOSED_UNCHANGED, _IS_FOLDER, _ONCE = 0x1, 0x10, 0x40000000, 0x80000000
"""IN_ACCESS, IN_CLOSE_NOWRITE (the only event of a file that is mapped into memory), IN_ISDIR, IN_ONESHOT."""
_HEADER = struct.Struct("iIII")
_BUFFER_BYTES = 1 << 16


class ReadWatch:
    """Watches the existing files below a folder until one is read. `certain`: whether the system can detect it."""

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
        """Whether a file was read so far. `own`: events since the last look came from the worker's own reading."""
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


class LeftFilesWatch:
    """Watches files that an earlier attempt left, each until it is read. Without Linux or free watches it detects
    nothing.
    """

    def __init__(self, modified_at: Mapping[Path, float]) -> None:
        """`modified_at`: the files, and the time when each was written."""
        self._descriptor = -1
        self._unread: dict[int, float] = {}
        self._newest_read = 0.0
        if sys.platform == "linux" and modified_at:
            library = ctypes.CDLL(None, use_errno=True)
            self._descriptor = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            for path, at in modified_at.items():
                mask = _ACCESSED | _CLOSED_UNCHANGED | _ONCE
                watch = library.inotify_add_watch(self._descriptor, os.fsencode(path), mask)
                if watch >= 0:  # otherwise the file is gone, or the user's limit of watches is reached
                    self._unread[watch] = at

    def newest_read(self) -> float | None:
        """The write time of the newest file that was read so far, if it changed since the last call."""
        newest = self._newest_read
        while self._descriptor >= 0 and self._unread:
            try:
                events = os.read(self._descriptor, _BUFFER_BYTES)
            except BlockingIOError:
                break
            for watch, mask, _, _ in _HEADER.iter_unpack(events):  # events of a watched file have no name after them
                at = self._unread.pop(watch, 0.0)
                if mask & (_ACCESSED | _CLOSED_UNCHANGED):  # and not that the file is gone
                    newest = max(newest, at)
        if newest == self._newest_read:
            return None
        self._newest_read = newest
        return newest

    def close(self) -> None:
        """Watch no longer."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
