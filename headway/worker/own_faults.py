"""Which errors are a worker's own fault: it could not have started any job's ranks."""

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
"""Its disk is full, read-only or broken; it has no more memory, processes or descriptors; it may not write its home."""


def is_own_fault(error: BaseException) -> bool:
    """Whether an error of preparing or launching tells of the machine, and not of the job or the server."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_own_fault(one) for one in error.exceptions)
    return isinstance(error, CannotStartRanks) or (isinstance(error, OSError) and error.errno in _OF_THE_MACHINE)
