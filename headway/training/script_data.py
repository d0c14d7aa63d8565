"""Batches for scripts, from the dataset directory of their job."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from headway.core.dataset import Dataset
from headway.errors import InvalidInput
from headway.training.loader import Samples, SplitReader
from headway.training.run import Run


def script_batches(
    run: Run, batch_size: int, *, epochs: int, split: str, shuffle: bool, seed: int, first_step: int = 0
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """See `Run.batches`. Raises InvalidInput at once, not at the first batch."""
    folder = run.data_directory
    if folder is None:
        raise InvalidInput(
            "This job has no dataset: submit it with --data NAME. Outside Headway, set HEADWAY_DATA_DIRECTORY to a "
            "folder written by `headway datasets download NAME`."
        )
    dataset = Dataset.model_validate_json((folder / "dataset.json").read_text())
    if split not in dataset.splits:
        raise InvalidInput(f"Dataset {dataset.name} has no split {split}; it has {', '.join(dataset.splits)}.")
    reader = SplitReader(dataset, split, folder, torch.device("cpu"))
    samples = Samples(reader, np.arange(reader.sample_count))
    return _batches(samples, run, batch_size, epochs, seed if shuffle else None, first_step)


def _batches(
    samples: Samples, run: Run, batch_size: int, epochs: int, seed: int | None, first_step: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for batch in samples.epochs(
        epochs, seed=seed, batch_size=batch_size, rank=run.rank, world_size=run.world_size, first_step=first_step
    ):
        yield batch.inputs, batch.labels
