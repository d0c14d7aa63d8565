"""Batches from a dataset's flat files, which are mapped into memory. Batches are gathered ahead of the step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from headway.core.data_order import batch_bounds, gradient_weight, rank_bounds, steps_per_epoch
from headway.core.dataset import Dataset
from headway.rank_protocol.paths import array_file

_IMAGES = 3
"""Dimensions of a batch of images without channels."""
_SAMPLES_PER_READ = 1024
"""Samples that a rank reads at once for the next steps: enough to be cheap, and few enough to stay in the cache."""


@dataclass(frozen=True)
class Batch:
    """A rank's part of a step's batch.

    `inputs`: float32 (n, ...), for images (n, 1, height, width), normalised; `labels`: int64 (n,). `weight` scales the
    mean loss of this part, so that DDP's average over the ranks is the mean over the whole batch.
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    weight: float


class SplitReader:
    """One split of a dataset. It reads by whole index arrays, without Python code per sample."""

    def __init__(self, dataset: Dataset, split: str, folder: Path, device: torch.device) -> None:
        self._dataset = dataset
        self._device = device
        self.sample_count = dataset.splits[split].sample_count
        arrays = {
            name: np.load(array_file(folder, split, name), mmap_mode="r") for name in dataset.splits[split].arrays
        }
        self._inputs, self._labels = arrays["input"], arrays["label"]

    def read(self, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised inputs, and labels int64 (n,)."""
        raw = torch.from_numpy(np.take(self._inputs, indices, axis=0)).to(self._device, non_blocking=True)
        inputs = normalise(raw, self._dataset)
        labels = torch.from_numpy(np.take(self._labels, indices, axis=0).astype(np.int64))
        return inputs, labels.to(self._device, non_blocking=True)


def normalise(raw: torch.Tensor, dataset: Dataset) -> torch.Tensor:
    """Stored samples (n, ...) for models: float32, normalised by the training set's mean and deviation.

    Images (height, width) get a channel: (n, 1, height, width).
    """
    inputs = torch.sub(raw, dataset.mean).mul_(1 / max(dataset.deviation, 1e-6))
    return inputs.unsqueeze(1) if inputs.dim() == _IMAGES else inputs


@dataclass(frozen=True)
class Samples:
    """The samples of a split to use: positions from `first` up to, not including, `end`, in a fixed shuffle or stored
    order.
    """

    reader: SplitReader
    indices: np.ndarray

    def epoch(
        self, epoch: int, *, seed: int | None, batch_size: int, rank: int, world_size: int, first_step: int = 0
    ) -> Iterator[Batch]:
        """This rank's part of every step of an epoch, from `first_step` (from 0) on.

        The order depends only on seed and epoch; without a seed it is the stored order.
        """
        count = len(self.indices)
        order = np.arange(count) if seed is None else epoch_order(count, seed=seed, epoch=epoch)
        steps = steps_per_epoch(len(self.indices), batch_size)
        steps_per_read = max(1, _SAMPLES_PER_READ * world_size // batch_size)
        for start_step in range(first_step, steps, steps_per_read):
            parts: list[np.ndarray] = []
            weights: list[float] = []
            for step in range(start_step, min(start_step + steps_per_read, steps)):
                start, end = batch_bounds(step, len(self.indices), batch_size)
                first, last = rank_bounds(start, end, rank, world_size)
                # A rank without a share still takes part in the gradient exchange, with weight 0.
                parts.append(order[first:last] if last > first else order[start : start + 1])
                weights.append(gradient_weight(last - first, end - start, world_size))
            inputs, labels = self.reader.read(self.indices[np.concatenate(parts)])
            sizes = [len(part) for part in parts]
            yield from map(Batch, torch.split(inputs, sizes), torch.split(labels, sizes), weights)

    def epochs(
        self, count: int, *, seed: int | None, batch_size: int, rank: int, world_size: int, first_step: int
    ) -> Iterator[Batch]:
        """This rank's part of every step of `count` epochs, after the first `first_step` steps."""
        first_epoch, first_step = divmod(first_step, steps_per_epoch(len(self.indices), batch_size))
        for epoch in range(first_epoch, count):
            yield from self.epoch(
                epoch, seed=seed, batch_size=batch_size, rank=rank, world_size=world_size, first_step=first_step
            )
            first_step = 0

    def share(self, *, batch_size: int, rank: int, world_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """This rank's part of all samples, in order, for evaluation."""
        first, last = rank_bounds(0, len(self.indices), rank, world_size)
        for start in range(first, last, batch_size):
            yield self.reader.read(self.indices[start : min(start + batch_size, last)])


def epoch_order(sample_count: int, *, seed: int, epoch: int) -> np.ndarray:
    """The permutation of an epoch: Philox keyed by seed and epoch, the same on every rank and world size."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(sample_count)


def split_validation(
    reader: SplitReader, *, fraction: float, dataset_size: int | None, seed: int
) -> tuple[Samples, Samples]:
    """Disjoint training and validation samples of the train split, drawn by the seed."""
    order = np.random.Generator(np.random.Philox(key=[seed, 2**63])).permutation(reader.sample_count)
    held_out = max(1, round(reader.sample_count * fraction))
    available = reader.sample_count - held_out
    if dataset_size is not None and dataset_size > available:
        raise ValueError(
            f"dataset_size is {dataset_size}; {available} training samples are left beside {held_out} for validation"
        )
    training = order[held_out : held_out + (dataset_size or available)]
    return Samples(reader, training), Samples(reader, order[:held_out])
