"""A small convolutional network: conv 32, pool, conv 64, pool, dense 128."""

from __future__ import annotations

from torch import Tensor, nn

from headway.core.dataset import Dataset
from headway.core.parameters import CnnParameters

CHANNELS = (32, 64)


class Cnn(nn.Module):
    """Takes images (n, 1, height, width), gives logits (n, classes)."""

    def __init__(self, dataset: Dataset, parameters: CnnParameters) -> None:
        super().__init__()
        height, width = dataset.sample_shape
        first, second = CHANNELS
        self.features = nn.Sequential(
            nn.Conv2d(1, first, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.classifier = nn.Sequential(
            nn.Linear(second * (height // 4) * (width // 4), parameters.hidden_size),
            nn.ReLU(),
            nn.Dropout(parameters.dropout),
            nn.Linear(parameters.hidden_size, dataset.classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images))
        return logits
