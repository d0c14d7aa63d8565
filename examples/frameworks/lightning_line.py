"""A Lightning script. HeadwayLogger is its only line of Headway code.

headway run examples/frameworks/lightning_line.py --world-size 2 -- --devices 2
"""

from __future__ import annotations

import argparse

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from headway.integrations.lightning import HeadwayLogger


class Line(lightning.LightningModule):
    """Fits a slope and an offset."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _index: int) -> torch.Tensor:
        """The loss of a batch."""
        inputs, targets = batch
        loss = nn.functional.mse_loss(self.layer(inputs), targets)
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=0.1)


def main() -> None:
    """Train for some epochs on the given number of devices."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    inputs = torch.rand(512, 1)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=arguments.devices,
        strategy="ddp" if arguments.devices > 1 else "auto",
        max_epochs=arguments.epochs,
        logger=HeadwayLogger(),
        log_every_n_steps=4,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(Line(), DataLoader(TensorDataset(inputs, 3 * inputs + 1), batch_size=32))
    print("trained", trainer.global_step, "steps with", trainer.world_size, "ranks")


if __name__ == "__main__":
    main()
