"""The members of an untrusted tar archive. Standard library only: jobs' own environments unpack archives too."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Any, NoReturn

from headway.errors import Corrupt

MAXIMUM_MEMBERS = 50_000
MAXIMUM_PATH_BYTES = 4096
MAXIMUM_PATH_DEPTH = 64
_MAXIMUM_HEADER_BYTES = 64 << 10
_EXTENDED_HEADERS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
UNPACK_ERRORS = (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError)
"""The errors of tarfile for damaged or malicious archives."""


class Member(tarfile.TarInfo):
    """A member with small extended headers. tarfile reads these headers whole, whatever size they state."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENDED_HEADERS and not 0 <= self.size <= _MAXIMUM_HEADER_BYTES:
            raise Corrupt(f"a header says that it has {self.size:,} bytes; {_MAXIMUM_HEADER_BYTES:,} are allowed")
        found: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc] # made to be extended, says its source
        return found

    def _refuse_sparse(self, *_: Any) -> NoReturn:
        raise Corrupt("it has a sparse file, whose map may be of any size")

    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse


def checked_members(tar: tarfile.TarFile, maximum_bytes: int) -> Iterator[tarfile.TarInfo]:
    """The members, each before it is extracted. The archive must be opened with `tarinfo=Member`.

    Raises Corrupt for too many or too deep members, and for more than `maximum_bytes` in total.
    """
    left_bytes = maximum_bytes
    for count, member in enumerate(tar, start=1):
        left_bytes -= member.size
        if member.size < 0 or left_bytes < 0:
            raise Corrupt(f"it unpacks to more than {maximum_bytes:,} bytes")
        if count > MAXIMUM_MEMBERS:
            raise Corrupt(f"it has more than {MAXIMUM_MEMBERS:,} members")
        problem = path_problem(member.name)
        if problem is not None:
            raise Corrupt(f"the path {member.name[:80]!r} {problem}")
        yield member


def path_problem(path: str) -> str | None:
    """Why a path is not packed or unpacked; None if it is allowed."""
    if len(path.encode(errors="surrogateescape")) > MAXIMUM_PATH_BYTES:
        return f"has more than {MAXIMUM_PATH_BYTES:,} bytes"
    if path.count("/") >= MAXIMUM_PATH_DEPTH:
        return f"is more than {MAXIMUM_PATH_DEPTH} folders deep"
    return None
