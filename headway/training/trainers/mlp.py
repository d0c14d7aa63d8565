"""A perceptron with two hidden layers: for MNIST 784-128-128-10."""

from __future__ import annotations

from math import prod

from torch import Tensor, nn

from headway.core.dataset import Dataset
from headway.core.parameters import MlpParameters


class Mlp(nn.Module):
    """Takes images (n, 1, height, width), gives logits (n, classes)."""

    def __init__(self, dataset: Dataset, parameters: MlpParameters) -> None:
        super().__init__()
        hidden = parameters.hidden_size
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(prod(dataset.sample_shape), hidden),
            nn.ReLU(),
            nn.Dropout(parameters.dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(parameters.dropout),
            nn.Linear(hidden, dataset.classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits
