"""Samples for scripts, from the dataset directory of the job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from headway.core.dataset import Dataset
from headway.errors import InvalidInput
from headway.rank_protocol.paths import DATASET_FILE
from headway.training.loader import Samples, SplitReader


def script_samples(folder: Path | None, split: str) -> Samples:
    """All samples of a split, on the CPU. Raises InvalidInput when there is no dataset or no such split."""
    if folder is None:
        raise InvalidInput(
            "This job has no dataset: submit it with --dataset NAME. Outside Headway, set HEADWAY_DATA_DIRECTORY to a "
            "folder written by `headway datasets download NAME`."
        )
    dataset = Dataset.model_validate_json((folder / DATASET_FILE).read_text())
    if split not in dataset.splits:
        raise InvalidInput(f"Dataset {dataset.name} has no split {split}; it has {', '.join(dataset.splits)}.")
    reader = SplitReader(dataset, split, folder, torch.device("cpu"))
    return Samples(reader, np.arange(reader.sample_count))
