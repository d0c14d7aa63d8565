"""Datasets in blocks: cuts arrays and joins blocks. Samples are never handled one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import zstandard

from headway.core.dataset import MAXIMUM_BLOCK_BYTES, Array, Block, Split
from headway.errors import Corrupt, InputUnusable, TooLarge
from headway.formats.bounded import decompress_zstd

if TYPE_CHECKING:
    import numpy as np

BLOCK_BYTES = 8 << 20


def describe_arrays(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Array]:
    """The index entries of a split's arrays, which all have one sample per first index."""
    return {name: Array(dtype=str(array.dtype), sample_shape=tuple(array.shape[1:])) for name, array in arrays.items()}


def cut(arrays: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[tuple[Block, bytes]]:
    """The blocks of a split with their compressed bytes: array after array, in the order of their names.

    Raises TooLarge for samples that no block can hold.
    """
    count = len(next(iter(arrays.values())))
    sample_bytes = sum(array.nbytes // max(1, len(array)) for array in arrays.values())
    if sample_bytes > MAXIMUM_BLOCK_BYTES:
        raise TooLarge(f"A sample has {sample_bytes:,} bytes; {MAXIMUM_BLOCK_BYTES:,} are allowed.")
    samples_per_block = max(1, BLOCK_BYTES // sample_bytes)
    for start in range(0, count, samples_per_block):
        end = min(start + samples_per_block, count)
        raw = b"".join(arrays[name][start:end].tobytes() for name in sorted(arrays))
        compressed = zstandard.ZstdCompressor(level=3).compress(raw)
        digest = hashlib.sha256(compressed).hexdigest()
        yield Block(sha256=digest, sample_count=end - start, compressed_bytes=len(compressed)), compressed


def cut_splits(
    splits: Mapping[str, Mapping[str, np.ndarray[Any, Any]]],
) -> tuple[dict[str, Split], list[tuple[Block, bytes]]]:
    """The index of each split, and all blocks with their compressed bytes."""
    described: dict[str, Split] = {}
    contents: list[tuple[Block, bytes]] = []
    for name, arrays in splits.items():
        cut_blocks = list(cut(arrays))
        contents += cut_blocks
        described[name] = Split(
            sample_count=len(arrays["label"]),
            arrays=describe_arrays(arrays),
            blocks=tuple(block for block, _ in cut_blocks),
        )
    return described, contents


def npy_header(array: Array, sample_count: int) -> bytes:
    """The header of a .npy file (format 1.0), so that numpy maps the following bytes as an array.

    https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    kind = {"uint8": "|u1", "int64": "<i8", "float32": "<f4"}[array.dtype]
    shape = (sample_count, *array.sample_shape)
    text = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    padded = text + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


def verify(block: Block, compressed: bytes) -> None:
    """Check a block's bytes against its hash. Raises Corrupt."""
    if hashlib.sha256(compressed).hexdigest() != block.sha256:
        raise Corrupt(f"Block {block.sha256[:12]} does not match its hash ({len(compressed)} bytes).")


def unpack(split: Split, block: Block, compressed: bytes) -> dict[str, memoryview]:
    """The bytes of each array of a verified block. Raises InputUnusable."""
    size = block.sample_count * sum(array.sample_bytes for array in split.arrays.values())
    try:
        raw = decompress_zstd(compressed, size)
    except Corrupt as error:
        raise InputUnusable(f"Block {block.sha256[:12]} cannot be unpacked: {error}") from error
    if len(raw) != size:
        raise InputUnusable(f"Block {block.sha256[:12]} has {len(raw)} bytes; its index says {size}.")
    views: dict[str, memoryview] = {}
    position = 0
    for name in sorted(split.arrays):
        end = position + block.sample_count * split.arrays[name].sample_bytes
        views[name] = memoryview(raw)[position:end]
        position = end
    return views
