"""Runs a trained model on samples: `python -m headway.training.predict FOLDER FILE`; prints JSON."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from headway.core.dataset import Array, Dataset, Split
from headway.core.parameters import parse_parameters
from headway.errors import HeadwayError, InvalidInput
from headway.formats.dataset_files import read_idx
from headway.rank_protocol.paths import CARD_FILE, WEIGHTS_FILE
from headway.training.loader import normalise
from headway.training.trainer import build_model

_BATCH = 1000


def main(arguments: list[str]) -> int:
    """Print the class and its probability for each sample of a file; errors go to stderr."""
    folder, file = (Path(argument) for argument in arguments)
    try:
        card = json.loads((folder / CARD_FILE).read_text())
        print(json.dumps(predict(card, folder / WEIGHTS_FILE, read_samples(file, card))))
        return 0
    except HeadwayError as error:
        print(error, file=sys.stderr)
        return 1


def predict(card: dict[str, Any], weights: Path, samples: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    """Class and probability of each sample (n, height, width), by the model that `card` describes."""
    if "trainer" not in card:
        raise InvalidInput("The model is not from a built-in trainer. Load model.safetensors in your own code.")
    described = card["dataset"]
    array = Array(dtype="float32", sample_shape=tuple(described["sample_shape"]))
    split = Split(sample_count=0, arrays={"input": array})
    scale = {"mean": card["input"]["mean"], "deviation": card["input"]["deviation"], "full_scale": 1.0}
    dataset = Dataset(name=described["name"], classes=described["classes"], splits={"train": split}, **scale)
    model = build_model(card["trainer"], dataset, parse_parameters(card["trainer"], card["parameters"]))
    model.load_state_dict(load_file(weights))
    model.eval()
    found: list[dict[str, Any]] = []
    with torch.inference_mode():
        for start in range(0, len(samples), _BATCH):
            raw = torch.from_numpy(samples[start : start + _BATCH].astype(np.float32))
            probabilities, classes = model(normalise(raw, dataset)).softmax(dim=1).max(dim=1)
            pairs = zip(classes.tolist(), probabilities.tolist(), strict=True)
            found += [{"class": one, "probability": round(probability, 6)} for one, probability in pairs]
    return found


def read_samples(path: Path, card: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Samples (n, height, width) from IDX, .npy, .npz or an image. Raises InvalidInput."""
    shape = tuple(card["dataset"]["sample_shape"])
    if not path.is_file():
        raise InvalidInput(f"{path} does not exist.")
    try:
        samples = _read(path)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error
    if samples.shape == shape:
        samples = samples[np.newaxis]
    if samples.shape[1:] != shape:
        raise InvalidInput(f"{path} has shape {samples.shape}; the model takes samples of {shape}.")
    return samples


def _read(path: Path) -> np.ndarray[Any, Any]:
    if path.suffix in (".npy", ".npz"):
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        wanted = ("x_test", "test_input", "images", "input", *content.files)
        return np.asarray(content[next(name for name in wanted if name in content.files)])
    if path.suffix in (".png", ".jpg", ".jpeg", ".bmp"):
        if find_spec("PIL") is None:
            raise InvalidInput("Reading images needs Pillow: pip install pillow")
        from PIL import Image

        return np.asarray(Image.open(path).convert("L"))
    return read_idx(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
