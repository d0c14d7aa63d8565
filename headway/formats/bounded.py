"""Unpacks received data. Bounds are checked while unpacking, because sizes that a sender states are not trusted."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import msgpack
import zstandard

from headway.errors import Corrupt

MAXIMUM_WINDOW_BYTES = 8 << 20
"""Memory that a zstd frame may request. RFC 8878 advises decoders to allow this much. Headway's frames need 2 MiB."""
_PIECE_BYTES = 1 << 20
_READ_BYTES = 1 << 16


def decompress_zstd(content: bytes, maximum_bytes: int) -> bytes:
    """The contents of one zstd frame. Raises Corrupt, also for more than `maximum_bytes`."""
    pieces: list[bytes] = []
    size_bytes = 0
    try:
        with zstandard.ZstdDecompressor(max_window_size=MAXIMUM_WINDOW_BYTES).stream_reader(content) as reader:
            while piece := reader.read(min(_PIECE_BYTES, maximum_bytes - size_bytes + 1)):
                size_bytes += len(piece)
                if size_bytes > maximum_bytes:
                    raise Corrupt(f"{len(content):,} bytes unpack to more than the {maximum_bytes:,} allowed.")
                pieces.append(piece)
    except zstandard.ZstdError as error:
        raise Corrupt(f"{len(content):,} bytes are not a whole zstd frame: {error}") from error
    return b"".join(pieces)


def decompress_gzip(content: bytes, maximum_bytes: int) -> bytes:
    """The contents of a gzip file. Raises Corrupt, also for more than `maximum_bytes`."""
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        unpacked = inflate.decompress(content, maximum_bytes + 1)
    except zlib.error as error:
        raise Corrupt(f"{len(content):,} bytes are not a gzip file: {error}") from error
    if len(unpacked) > maximum_bytes:
        raise Corrupt(f"{len(content):,} bytes unpack to more than the {maximum_bytes:,} allowed.")
    if not inflate.eof:
        raise Corrupt(f"{len(content):,} bytes are not a whole gzip file.")
    return unpacked


def unpack_msgpack(content: bytes, maximum_items: int) -> Any:
    """A value in MessagePack. Raises Corrupt, also if its lists and maps have more than `maximum_items` together.

    msgpack itself refuses nesting deeper than 512.
    """
    items = _Items(maximum_items, "it has")
    try:
        return msgpack.unpackb(
            content,
            max_array_len=maximum_items,
            max_map_len=maximum_items,
            max_ext_len=0,
            list_hook=items.count,
            object_hook=items.count,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise Corrupt(f"{len(content):,} bytes cannot be read as MessagePack: {error}") from error


class _Items:
    """Counts how many more items the lists and maps may have."""

    def __init__(self, maximum: int, subject: str) -> None:
        self.left = maximum
        self._words = f"{subject} more than the {maximum:,} items allowed"

    def count(self, container: Any) -> Any:
        """The list or map, unchanged. Raises ValueError when there are too many items."""
        self.left -= len(container) + 1
        if self.left < 0:
            raise ValueError(self._words)
        return container


class _Bounded:
    """A reader with a limit on the bytes that it returns."""

    def __init__(self, content: bytes, maximum_bytes: int) -> None:
        self._content_bytes = len(content)
        self._maximum_bytes = maximum_bytes
        self._left_bytes = maximum_bytes
        decompressor = zstandard.ZstdDecompressor(max_window_size=MAXIMUM_WINDOW_BYTES)
        self._reader = decompressor.stream_reader(content)

    def read(self, size_bytes: int) -> bytes:
        """The next bytes. Raises Corrupt beyond the bound."""
        piece: bytes = self._reader.read(size_bytes)
        self._left_bytes -= len(piece)
        if self._left_bytes < 0:
            raise Corrupt(f"{self._content_bytes:,} bytes unpack to more than the {self._maximum_bytes:,} allowed.")
        return piece


def read_packed_list(content: bytes, maximum_bytes: int, maximum_items: int, maximum_text_bytes: int) -> Iterator[Any]:
    """The elements of a list in a zstd frame with MessagePack, with one element in memory at a time.

    Raises Corrupt, also if all elements have more than `maximum_bytes`, the lists of one element more than
    `maximum_items`, or a text more than `maximum_text_bytes`.
    """
    items = _Items(maximum_items, "an element has")
    try:
        unpacker = msgpack.Unpacker(
            _Bounded(content, maximum_bytes),
            read_size=_READ_BYTES,
            max_buffer_size=maximum_bytes,
            max_str_len=maximum_text_bytes,
            max_array_len=maximum_items,
            max_map_len=0,
            max_ext_len=0,
            list_hook=items.count,
        )
        for _ in range(unpacker.read_array_header()):
            items.left = maximum_items
            yield unpacker.unpack()
        if unpacker.read_bytes(1):
            raise ValueError("more follows behind their list")
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException, zstandard.ZstdError) as error:
        why = str(error) or "they end too early"
        raise Corrupt(f"{len(content):,} bytes cannot be read as MessagePack: {why}") from error
