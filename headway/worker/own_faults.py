"""Decides which errors are a worker's own fault: it could not have started the ranks of any job."""

from __future__ import annotations

import errno

from headway.errors import CannotStartRanks

_OF_THE_MACHINE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EIO,
        errno.ESTALE,
        errno.ENOMEM,
        errno.EAGAIN,
        errno.EMFILE,
        errno.ENFILE,
        errno.EACCES,
        errno.EPERM,
    }
)
"""The disk is full, read-only or broken; memory, processes or descriptors are exhausted; the home is not writable."""


def is_own_fault(error: BaseException) -> bool:
    """Whether the cause of an error in preparing or launching is this machine, not the job or the server."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_own_fault(one) for one in error.exceptions)
    return isinstance(error, CannotStartRanks) or (isinstance(error, OSError) and error.errno in _OF_THE_MACHINE)
