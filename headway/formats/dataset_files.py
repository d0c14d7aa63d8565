"""Reads datasets from IDX and npz files, with numpy and zlib. Pickled objects are never loaded."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from headway.core.dataset import ITEM_BYTES, MAXIMUM_DIMENSIONS, Dataset, Split
from headway.errors import Corrupt, InvalidInput
from headway.formats.bounded import decompress_gzip

Arrays = dict[str, np.ndarray[Any, Any]]
IDX_PREFIXES = {"train": "train", "test": "t10k"}
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_NPZ_NAMES = {
    ("train", "input"): ("train_input", "x_train", "train_images"),
    ("train", "label"): ("train_label", "y_train", "train_labels"),
    ("test", "input"): ("test_input", "x_test", "test_images"),
    ("test", "label"): ("test_label", "y_test", "test_labels"),
}
_MAXIMUM_CLASSES = 100_000
_MAXIMUM_IDX_BYTES = 8 << 30
_SINGLE_FILE_TEST_EVERY = 5


def read_dataset(path: Path) -> dict[str, Arrays]:
    """Splits `train` and `test`, each with `input` and `label`, from an npz file or a folder of IDX files.

    IDX files have MNIST's names. An npz has x_train, y_train, x_test and y_test (or train_input, ...); or only images
    and labels: then every fifth sample is used for the test. Raises InvalidInput that names the file and the error.
    """
    if path.is_dir():
        return {split: _read_idx_pair(path, prefix) for split, prefix in IDX_PREFIXES.items()}
    if path.suffix == ".npz":
        return _read_npz(path)
    raise InvalidInput(f"{path} is neither a folder of IDX files nor an .npz file.")


def _read_idx_pair(folder: Path, prefix: str) -> Arrays:
    found = {}
    for array, kind in (("input", "images-idx3-ubyte"), ("label", "labels-idx1-ubyte")):
        names = (f"{prefix}-{kind}.gz", f"{prefix}-{kind}", f"{prefix}-{kind.replace('-idx', '.idx')}")
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is None:
            raise InvalidInput(f"{folder} has neither {names[0]} nor {names[1]}: IDX files need MNIST's names.")
        found[array] = read_idx(path)
    return found


def read_idx(path: Path) -> np.ndarray[Any, Any]:
    """An array in the IDX format (http://yann.lecun.com/exdb/mnist), gzipped or not. Raises InvalidInput."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = decompress_gzip(content, _MAXIMUM_IDX_BYTES)
        except Corrupt as error:
            raise InvalidInput(f"{path} is not a whole gzip file: {error} Fetch it again.") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise InvalidInput(f"{path} is not an IDX file.")
    dimensions = content[3]
    begin = 4 + 4 * dimensions
    shape = tuple(int(side) for side in np.frombuffer(content[4:begin].ljust(4 * dimensions, b"\0"), dtype=">u4"))
    dtype = np.dtype(_IDX_TYPES[content[2]])
    expected = begin + prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise InvalidInput(f"{path} has {len(content):,} bytes; its header says {expected:,}. It is cut or damaged.")
    return np.frombuffer(content, dtype=dtype, offset=begin).reshape(shape).astype(dtype.newbyteorder("="))


def _read_npz(path: Path) -> dict[str, Arrays]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        reason = "it contains pickled objects, which are never loaded" if "allow_pickle" in str(error) else error
        raise InvalidInput(f"{path} cannot be read: {reason}.") from error
    if {"images", "labels"} <= arrays.keys():
        return _hold_out(arrays["images"], arrays["labels"])
    splits: dict[str, Arrays] = {"train": {}, "test": {}}
    for (split, array), names in _NPZ_NAMES.items():
        name = next((name for name in names if name in arrays), None)
        if name is None:
            has = ", ".join(sorted(arrays)) or "nothing"
            raise InvalidInput(f"{path} has none of {', '.join(names)}; it has {has}.")
        splits[split][array] = arrays[name]
    return splits


def _hold_out(inputs: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> dict[str, Arrays]:
    test = np.arange(len(inputs)) % _SINGLE_FILE_TEST_EVERY == _SINGLE_FILE_TEST_EVERY - 1
    return {
        "train": {"input": inputs[~test], "label": labels[: len(inputs)][~test]},
        "test": {"input": inputs[test], "label": labels[: len(inputs)][test]},
    }


def prepare(splits: Mapping[str, Arrays], source: str) -> dict[str, Arrays]:
    """The same arrays in the stored types: uint8, int64 or float32; labels from 0.

    Raises InvalidInput when they are not samples with one class each.
    """
    prepared: dict[str, Arrays] = {}
    for split, arrays in splits.items():
        inputs, labels = arrays["input"], arrays["label"].reshape(-1)
        if len(inputs) != len(labels) or len(labels) == 0:
            raise InvalidInput(f"{source}: split {split} has {len(inputs)} inputs and {len(labels)} labels.")
        if inputs.dtype.kind not in "uif" or labels.dtype.kind not in "ui":
            raise InvalidInput(
                f"{source}: split {split} has inputs of {inputs.dtype} and labels of {labels.dtype}; "
                "inputs must be numbers and labels whole numbers."
            )
        if 0 in inputs.shape or inputs.ndim > MAXIMUM_DIMENSIONS:
            raise InvalidInput(
                f"{source}: inputs of split {split} have the shape {inputs.shape}; a sample has at most "
                f"{MAXIMUM_DIMENSIONS - 1} dimensions, none of them empty."
            )
        if int(labels.min()) < 0 or int(labels.max()) >= _MAXIMUM_CLASSES:
            raise InvalidInput(f"{source}: labels of split {split} go from {labels.min()} to {labels.max()}.")
        if inputs.dtype != np.uint8:
            with np.errstate(over="ignore"):
                inputs = inputs.astype(np.float32)
        if inputs.dtype.kind == "f" and not np.isfinite(inputs).all():
            raise InvalidInput(f"{source}: inputs of split {split} have values that are not finite as float32.")
        small = int(labels.max()) < 256
        prepared[split] = {
            "input": np.ascontiguousarray(inputs),
            "label": np.ascontiguousarray(labels.astype(np.uint8 if small else np.int64)),
        }
    if prepared["train"]["input"].shape[1:] != prepared["test"]["input"].shape[1:]:
        raise InvalidInput(f"{source}: samples of train and test have different shapes.")
    assert all(str(array.dtype) in ITEM_BYTES for arrays in prepared.values() for array in arrays.values())
    return prepared


def describe(name: str, arrays: Mapping[str, Arrays], splits: dict[str, Split], source: str) -> Dataset:
    """The index of a dataset, from the index entries of its blocks."""
    inputs = arrays["train"]["input"]
    full_scale = 255.0 if inputs.dtype == np.uint8 and inputs.max() > 16 else float(max(inputs.max(), 1))
    return Dataset(
        name=name,
        classes=int(max(split["label"].max() for split in arrays.values())) + 1,
        splits=splits,
        mean=float(inputs.mean(dtype=np.float64)),
        deviation=float(inputs.std(dtype=np.float64)),
        full_scale=full_scale,
        source=source,
    )
