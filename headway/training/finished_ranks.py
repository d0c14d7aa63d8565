"""Which ranks of a launcher are through, however they started: a file with a byte for each.

The file is as large as it will be before any rank starts, so that a rank needs no room on the disk to set its byte.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from headway.rank_protocol.paths import finished_file

_THROUGH = b"1"


class FinishedRanks:
    """The launcher's view of it. What a script does to the file's name does not matter."""

    def __init__(self, folder: Path, rank_count: int) -> None:
        self._descriptor = os.open(finished_file(folder), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(OSError):  # a full disk: then no rank counts as through before it has ended well
            os.pwrite(self._descriptor, bytes(rank_count), 0)

    def close(self) -> None:
        """In a fork, which is to have no descriptors of the launcher."""
        os.close(self._descriptor)

    def __contains__(self, local_rank: int) -> bool:
        return os.pread(self._descriptor, 1, local_rank) == _THROUGH


def tell_finished(folder: Path, local_rank: int) -> None:
    """In a rank: it is through."""
    with suppress(OSError):
        descriptor = os.open(finished_file(folder), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.pwrite(descriptor, _THROUGH, local_rank)
        os.close(descriptor)
