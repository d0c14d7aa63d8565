"""Datasets from files, and the errors for damaged files."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from headway.errors import InvalidInput
from headway.formats.dataset_files import prepare, read_dataset, read_idx

MNIST = Path(__file__).parents[3] / "examples" / "data" / "mnist"


def idx(array: np.ndarray) -> bytes:
    kinds = {"uint8": 0x08, "int32": 0x0C, "float32": 0x0D}
    header = struct.pack(">HBB", 0, kinds[str(array.dtype)], array.ndim)
    sides = struct.pack(f">{array.ndim}I", *array.shape)
    return header + sides + array.astype(array.dtype.newbyteorder(">")).tobytes()


def test_mnist_is_read_as_it_is() -> None:
    splits = read_dataset(MNIST)
    assert splits["train"]["input"].shape == (60_000, 28, 28)
    assert np.bincount(splits["test"]["label"]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_idx_of_other_types(tmp_path: Path, dtype: str) -> None:
    array = (np.arange(24) * 3).reshape(2, 3, 4).astype(dtype)
    (tmp_path / "plain").write_bytes(idx(array))
    (tmp_path / "packed.gz").write_bytes(gzip.compress(idx(array)))
    for name in ("plain", "packed.gz"):
        assert np.array_equal(read_idx(tmp_path / name), array)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.gz", b"no gzip", "is not a whole gzip file"),
        ("a.gz", gzip.compress(idx(np.zeros(5, np.uint8)), mtime=0)[:-6], "is not a whole gzip file"),
        ("a", b"\x00\x00\x08", "is not an IDX file"),
        ("a", b"PK\x03\x04....", "is not an IDX file"),
        ("a", idx(np.zeros((2, 2), np.uint8))[:-1], "its header says 16. It is cut or damaged"),
        ("a", idx(np.zeros((2, 2), np.uint8))[:9], "It is cut or damaged"),
        ("a", idx(np.zeros(2, np.uint8)) + b"x", "It is cut or damaged"),
    ],
)
def test_damaged_idx_files_are_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=words):
        read_idx(tmp_path / name)


def arrays(count: int = 10) -> dict[str, np.ndarray]:
    inputs = np.random.default_rng(0).integers(0, 255, (count, 4, 4), dtype=np.uint8)
    labels = np.arange(count) % 3
    return {"x_train": inputs, "y_train": labels, "x_test": inputs[:4], "y_test": labels[:4]}


def test_npz_with_splits_and_without(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays())
    np.savez_compressed(tmp_path / "b.npz", images=arrays()["x_train"], labels=arrays()["y_train"])
    assert prepare(read_dataset(tmp_path / "a.npz"), "a")["test"]["label"].tolist() == [0, 1, 2, 0]
    held_out = prepare(read_dataset(tmp_path / "b.npz"), "b")
    assert (len(held_out["train"]["label"]), held_out["test"]["label"].tolist()) == (8, [1, 0])


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/tmp/headway-bomb"),))  # type: ignore[return-value]


def test_pickled_objects_are_never_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{**arrays(), "x_train": np.array([Bomb()] * 10, dtype=object)})
    with pytest.raises(InvalidInput, match="it contains pickled objects, which are never loaded"):
        read_dataset(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(pickle.dumps(arrays()))
    with pytest.raises(InvalidInput, match=r"b\.npz cannot be read"):
        read_dataset(tmp_path / "b.npz")
    assert not Path("/tmp/headway-bomb").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_train": np.arange(9)}, "10 inputs and 9 labels"),
        ({"y_train": np.linspace(0, 1, 10)}, "labels whole numbers"),
        ({"y_train": np.arange(10) - 1}, "labels of split train go from -1"),
        ({"x_train": np.full((10, 4, 4), np.nan)}, "not finite"),
        ({"x_test": np.zeros((4, 5, 5), np.uint8)}, "have different shapes"),
        ({"x_train": np.array(["a"] * 10)}, "inputs must be numbers"),
    ],
)
def test_arrays_that_make_no_dataset_are_named(tmp_path: Path, changes: dict[str, np.ndarray], words: str) -> None:
    np.savez(tmp_path / "a.npz", **{**arrays(), **changes})
    with pytest.raises(InvalidInput, match=words):
        prepare(read_dataset(tmp_path / "a.npz"), "a.npz")


def test_missing_arrays_and_other_files_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=np.zeros(3))
    with pytest.raises(InvalidInput, match="has none of train_label, y_train, train_labels; it has x_train"):
        read_dataset(tmp_path / "a.npz")
    with pytest.raises(InvalidInput, match=r"has neither train-images-idx3-ubyte\.gz"):
        read_dataset(tmp_path)
    with pytest.raises(InvalidInput, match=r"is neither a folder of IDX files nor an \.npz file"):
        read_dataset(tmp_path / "a.csv")
