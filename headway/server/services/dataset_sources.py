"""Reads the built-in datasets from their source files. Runs in a thread: it is numpy and zlib at work."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from headway.errors import Corrupt

Arrays = dict[str, np.ndarray[Any, Any]]


def read_mnist(folder: Path) -> dict[str, Arrays]:
    """MNIST from its four gzipped IDX files. Raises Corrupt, OSError."""
    return {
        split: {
            "input": read_idx(folder / f"{prefix}-images-idx3-ubyte.gz"),
            "label": read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz"),
        }
        for split, prefix in (("train", "train"), ("test", "t10k"))
    }


def read_digits(folder: Path) -> dict[str, Arrays]:
    """The 1,797 handwritten digits of 8 by 8 pixels; every fifth one is for the test. Raises OSError."""
    with np.load(folder / "digits.npz", allow_pickle=False) as file:
        images, labels = file["images"], file["labels"]
    test = np.arange(len(images)) % 5 == 4
    return {
        "train": {"input": images[~test], "label": labels[~test]},
        "test": {"input": images[test], "label": labels[test]},
    }


def read_idx(path: Path) -> np.ndarray[Any, Any]:
    """An array of unsigned bytes in the IDX format (http://yann.lecun.com/exdb/mnist). Raises Corrupt."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, gzip.BadGzipFile, ValueError) as error:
        raise Corrupt(f"{path} is not a whole gzip file: {error}") from error
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise Corrupt(f"{path} is not an IDX file of unsigned bytes.")
    dimensions = content[3]
    shape = tuple(np.frombuffer(content, dtype=">u4", count=dimensions, offset=4).astype(int))
    values = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions)
    if values.size != np.prod(shape):
        raise Corrupt(f"{path} has {values.size} values; its header says {shape}.")
    return values.reshape(shape)


SOURCES: dict[str, tuple[Callable[[Path], dict[str, Arrays]], int, float]] = {
    "mnist": (read_mnist, 10, 255.0),
    "digits": (read_digits, 10, 16.0),
}
"""Name to reader, number of classes, and the value that stands for full ink."""
