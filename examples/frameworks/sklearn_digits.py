r"""A scikit-learn script without Headway code. It finds its data through a variable.

headway run examples/frameworks/sklearn_digits.py --dataset digits --metric 'accuracy=accuracy (\S+)'
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

folder = Path(os.environ["HEADWAY_DATA_DIRECTORY"])
arrays = {
    (split, name): np.load(folder / f"{split}.{name}.npy", mmap_mode="r")
    for split in ("train", "test")
    for name in ("input", "label")
}
model = LogisticRegression(max_iter=200)
model.fit(arrays["train", "input"].reshape(-1, 64) / 16, arrays["train", "label"])
accuracy = model.score(arrays["test", "input"].reshape(-1, 64) / 16, arrays["test", "label"])
print(f"accuracy {accuracy:.4f}")
