"""An LSTM that reads an image row by row, top to bottom: for MNIST 28 steps of 28 values."""

from __future__ import annotations

from torch import Tensor, nn

from headway.core.dataset import Dataset
from headway.core.parameters import LstmParameters


class Lstm(nn.Module):
    """Takes images (n, 1, height, width), gives logits (n, classes)."""

    def __init__(self, dataset: Dataset, parameters: LstmParameters) -> None:
        super().__init__()
        _, width = dataset.sample_shape
        hidden = parameters.hidden_size
        self.rows = nn.LSTM(width, hidden, batch_first=True)
        self.head = nn.Sequential(
            nn.Dropout(parameters.dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(parameters.dropout),
            nn.Linear(hidden, dataset.classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        states, _ = self.rows(images.squeeze(1))  # (n, height, hidden)
        logits: Tensor = self.head(states[:, -1])  # the state after the last row
        return logits
