"""A small convolutional network: conv 32, pool, conv 64, pool, dense 128."""

from __future__ import annotations

from torch import Tensor, nn

from headway.core.dataset import Dataset
from headway.core.parameters import CnnParameters

CHANNELS = (32, 64)
SMALLEST_UNPADDED = 16
"""Smaller images are padded; otherwise pooling would leave too little of them."""


class Cnn(nn.Module):
    """Takes images (n, 1, height, width), gives logits (n, classes)."""

    def __init__(self, dataset: Dataset, parameters: CnnParameters) -> None:
        super().__init__()
        padding = 0 if min(dataset.sample_shape) >= SMALLEST_UNPADDED else 1
        first, second = CHANNELS
        # Pooling before ReLU gives the same result, since both only compare, and ReLU then needs a quarter of the work.
        self.features = nn.Sequential(
            nn.Conv2d(1, first, kernel_size=3, padding=padding),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(first, second, kernel_size=3, padding=padding),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
        )
        height, width = (_pooled(_pooled(side, padding), padding) for side in dataset.sample_shape)
        self.classifier = nn.Sequential(
            nn.Linear(second * height * width, parameters.hidden_size),
            nn.ReLU(),
            nn.Dropout(parameters.dropout),
            nn.Linear(parameters.hidden_size, dataset.classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images))
        return logits


def _pooled(side: int, padding: int) -> int:
    """Side of an image after a convolution of size 3 and pooling by 2."""
    return (side + 2 * padding - 2) // 2
