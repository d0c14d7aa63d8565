"""Reading files of ranks safely. The path may be anything: a FIFO, a link, a folder, unreadable, or gone."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """A descriptor of a regular file. Never blocks. Raises OSError for anything else, links included."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return descriptor


def open_file(path: Path) -> BinaryIO:
    """A regular file to read from. Raises OSError."""
    return os.fdopen(open_regular(path), "rb")


def read_part(path: Path, offset: int, maximum_bytes: int) -> bytes:
    """The content from `offset` on; empty if there is no file. Raises OSError if it cannot be read."""
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(descriptor, maximum_bytes, offset)
    finally:
        os.close(descriptor)


def write_new(path: Path, text: str) -> None:
    """Write a file in a folder of the ranks, and replace whatever is there. Raises OSError."""
    path.unlink(missing_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)


def size_of(path: Path) -> int:
    """The size of a regular file; 0 for anything else, or if it does not exist."""
    try:
        status = path.lstat()
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
