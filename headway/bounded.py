"""Unpacks what others sent. Bounds are checked while it is unpacked: sizes that a sender states are not believed."""

from __future__ import annotations

import zlib
from typing import Any

import msgpack
import zstandard

from headway.errors import Corrupt

MAXIMUM_WINDOW_BYTES = 8 << 20
"""Memory that a zstd frame may ask for; RFC 8878 advises decoders to allow this much. Ours ask for 2 MiB."""
_PIECE_BYTES = 1 << 20


def decompress_zstd(content: bytes, maximum_bytes: int) -> bytes:
    """The contents of one zstd frame. Raises Corrupt, also when there is more than `maximum_bytes`."""
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
    """The contents of a gzip file. Raises Corrupt, also when there is more than `maximum_bytes`."""
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
    """The value that MessagePack holds. Raises Corrupt, also when its lists and maps have more than `maximum_items`.

    msgpack itself refuses to nest deeper than 512.
    """
    left = maximum_items

    def counted(container: Any) -> Any:
        nonlocal left
        left -= len(container) + 1
        if left < 0:
            raise ValueError(f"it has more than the {maximum_items:,} items allowed")
        return container

    try:
        return msgpack.unpackb(
            content,
            max_array_len=maximum_items,
            max_map_len=maximum_items,
            max_ext_len=0,
            list_hook=counted,
            object_hook=counted,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise Corrupt(f"{len(content):,} bytes cannot be read as MessagePack: {error}") from error
