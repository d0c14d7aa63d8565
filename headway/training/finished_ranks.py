"""Which ranks of a launcher have finished, warm or cold: a file with a byte for each.

The file has its full size before any rank starts, so that a rank can set its byte even on a full disk.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from headway.rank_protocol.paths import finished_file

_THROUGH = b"1"


class FinishedRanks:
    """The launcher's side. It keeps the file open, so a script may delete or rename the file."""

    def __init__(self, folder: Path, rank_count: int) -> None:
        self._descriptor = os.open(finished_file(folder), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with suppress(OSError):  # a full disk: then a rank counts as finished only when its process has ended well
            os.pwrite(self._descriptor, bytes(rank_count), 0)

    def close(self) -> None:
        """For forks, which must not keep descriptors of the launcher."""
        os.close(self._descriptor)

    def __contains__(self, local_rank: int) -> bool:
        return os.pread(self._descriptor, 1, local_rank) == _THROUGH


def tell_finished(folder: Path, local_rank: int) -> None:
    """In a rank: note that it has finished."""
    with suppress(OSError):
        descriptor = os.open(finished_file(folder), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.pwrite(descriptor, _THROUGH, local_rank)
        os.close(descriptor)
