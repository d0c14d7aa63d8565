"""Sections of streams: the entries of reports, by number, as MessagePack in one zstd frame."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any, TypeVar

import msgpack
import zstandard

from headway.core.attempt import LARGEST_NUMBER
from headway.errors import Corrupt
from headway.formats.bounded import read_packed_list

MAXIMUM_SECTION_BYTES = 64 << 20
"""The largest unpacked section."""
LATEST_SECONDS = 1e11
"""No time is later than this, in seconds since the epoch."""
_MAXIMUM_TEXT_BYTES = 256 << 10
"""The largest text: a worker cuts lines at 64 KiB, and each byte that is not UTF-8 takes three bytes."""
_Parsed = TypeVar("_Parsed")


def compress(entries: list[Any]) -> bytes:
    """A section of these entries."""
    return zstandard.ZstdCompressor(level=1).compress(msgpack.packb(entries))


def section_entries(
    section: bytes, maximum_items: int, first: int = 1, through: int = LARGEST_NUMBER
) -> Iterator[tuple[int, Any]]:
    """The entries of a section, with their report's number. Numbers grow, from `first` to `through`."""
    if not section:
        return
    try:
        for number, content in read_packed_list(section, MAXIMUM_SECTION_BYTES, maximum_items, _MAXIMUM_TEXT_BYTES):
            if type(number) is not int or not first <= number <= through:
                raise ValueError("it has numbers of other reports")
            first = number + 1
            yield number, content
    except (ValueError, TypeError, Corrupt) as error:
        raise _unreadable(section, error) from error


def parsed(section: bytes, parse: Callable[[Any], list[_Parsed]], content: Any) -> list[_Parsed]:
    """Turns errors of malformed contents into Corrupt."""
    try:
        return parse(content)
    except (ValueError, TypeError) as error:
        raise _unreadable(section, error) from error


def _unreadable(section: bytes, error: Exception) -> Corrupt:
    return Corrupt(f"A stream section of {len(section)} bytes cannot be read: {error}")


def array_of(typecode: str, data: bytes) -> array[Any]:
    """The numbers of a column. Raises ValueError if its bytes are not whole items of this type."""
    values: array[Any] = array(typecode)
    values.frombytes(data)
    return values


def times_of(data: bytes) -> array[float]:
    """Checks that all times are finite and in range."""
    times = array_of("d", data)
    if times and not (isfinite(sum(times)) and min(times) >= 0 and max(times) <= LATEST_SECONDS):
        raise ValueError("a time is not finite, or out of range")
    return times


def stated_section_bytes(section: bytes) -> int:
    """The unpacked size that a section states; the largest allowed size if it states none."""
    try:
        size_bytes: int = zstandard.frame_content_size(section)
    except zstandard.ZstdError:
        size_bytes = -1
    return MAXIMUM_SECTION_BYTES if size_bytes < 0 else size_bytes
