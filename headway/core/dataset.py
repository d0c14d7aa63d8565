"""A dataset: arrays cut into blocks, described by a small index."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated

from pydantic import Field

from headway.core.frozen import Frozen
from headway.core.name import Name
from headway.errors import InvalidInput

ITEM_BYTES = {"uint8": 1, "int64": 8, "float32": 4}
MAXIMUM_BLOCK_BYTES = 64 << 20
"""The largest block, packed or unpacked."""
MAXIMUM_BLOCKS = 100_000
"""The most blocks of one split: 800 GB in blocks of the size that clients make."""
MAXIMUM_DIMENSIONS = 8
BUILT_IN = {"digits": "digits.npz", "mnist": ""}
"""Datasets that a server registers at their first use and that all projects share. The value is the file to read in
the dataset's folder; if it is empty, the folder itself is read.
"""


class Array(Frozen):
    """One array of a split: the type of its items and the shape of one sample."""

    dtype: str = Field(pattern="^(uint8|int64|float32)$")
    sample_shape: tuple[Annotated[int, Field(strict=True, ge=1, le=MAXIMUM_BLOCK_BYTES)], ...] = Field(
        max_length=MAXIMUM_DIMENSIONS
    )

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return ITEM_BYTES[self.dtype] * prod(self.sample_shape)


class Block(Frozen):
    """The unit in which a dataset is stored, sent and verified: the arrays of `sample_count` samples, concatenated.

    `sha256` is the hash of the compressed bytes, and their address.
    """

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    sample_count: int = Field(strict=True, ge=1, le=MAXIMUM_BLOCK_BYTES)
    compressed_bytes: int = Field(strict=True, ge=1, le=MAXIMUM_BLOCK_BYTES)


class Split(Frozen):
    """A named part of a dataset, such as `train` or `test`."""

    sample_count: int = Field(strict=True, ge=0, le=MAXIMUM_BLOCKS * MAXIMUM_BLOCK_BYTES)
    arrays: dict[str, Array] = Field(max_length=16)
    blocks: tuple[Block, ...] = Field(default=(), max_length=MAXIMUM_BLOCKS)

    @property
    def bytes(self) -> int:
        """Bytes of the split's arrays, uncompressed."""
        return self.sample_count * sum(array.sample_bytes for array in self.arrays.values())


class Dataset(Frozen):
    """The index of a dataset. `input` holds the model's inputs, `label` the class of each sample."""

    name: Name
    classes: int = Field(strict=True, ge=1, le=2**31)
    splits: dict[str, Split] = Field(max_length=16)
    mean: float = Field(strict=True, description="Mean of the training inputs as they are stored.")
    deviation: float = Field(strict=True, description="Standard deviation of the training inputs as they are stored.")
    full_scale: float = Field(strict=True, description="Stored value that stands for 1.0.")
    source: str = Field(default="", max_length=1024)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.splits["train"].arrays["input"].sample_shape


class RegisteredDataset(Dataset):
    """A dataset as it is stored and shown: its index, who registered it, and when, in seconds since the epoch."""

    added_by: str | None = Field(
        default=None,
        description="Name of the user who registered it. Empty for the token of the server's home; null for built-in "
        "datasets and for those registered before this was stored.",
    )
    added_at: float | None = Field(default=None, description="When it was registered, in seconds since the epoch.")


@dataclass(frozen=True, slots=True)
class OwnedDataset:
    """A dataset and its project; None: all projects share it. The rest is as in `RegisteredDataset`."""

    project: str | None
    dataset: Dataset
    added_by: str | None = None
    added_at: float | None = None

    @classmethod
    def of(cls, project: str | None, registered: RegisteredDataset) -> OwnedDataset:
        """The dataset of a stored record."""
        index = Dataset(**{name: getattr(registered, name) for name in Dataset.model_fields})
        return cls(project, index, registered.added_by, registered.added_at)

    @property
    def registered(self) -> RegisteredDataset:
        """The record to store or show."""
        return RegisteredDataset(**dict(self.dataset), added_by=self.added_by, added_at=self.added_at)


def project_of_earlier_dataset(name: str) -> str | None:
    """The project of datasets that were stored before datasets had one."""
    return None if name in BUILT_IN else "default"


def check_index(dataset: Dataset) -> None:
    """Raises InvalidInput when an index is inconsistent."""
    if set(dataset.splits) != {"train", "test"}:
        raise InvalidInput(f"Dataset {dataset.name} has splits {', '.join(dataset.splits)}; it needs train and test.")
    for name, split in dataset.splits.items():
        if set(split.arrays) != {"input", "label"}:
            raise InvalidInput(f"Split {name} of dataset {dataset.name} needs the arrays input and label.")
        if sum(block.sample_count for block in split.blocks) != split.sample_count:
            raise InvalidInput(f"Split {name} of dataset {dataset.name} has blocks for another number of samples.")
        sample_bytes = sum(array.sample_bytes for array in split.arrays.values())
        largest_bytes = sample_bytes * max((block.sample_count for block in split.blocks), default=0)
        if largest_bytes > MAXIMUM_BLOCK_BYTES:
            raise InvalidInput(
                f"Split {name} of dataset {dataset.name} has a block of {largest_bytes:,} bytes unpacked; "
                f"{MAXIMUM_BLOCK_BYTES:,} are allowed. Cut it into smaller ones."
            )
