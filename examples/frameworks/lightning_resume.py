"""Lightning's own checkpoints, which Headway keeps. The next attempt continues from the newest one.

headway run examples/frameworks/lightning_resume.py --world-size 2 -- --devices 2
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import headway
from headway.integrations.lightning import HeadwayLogger


class Line(lightning.LightningModule):
    """Fits a slope and an offset."""

    def __init__(self, pause_seconds: float) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.pause_seconds = pause_seconds

    def training_step(self, batch: Any, _index: int) -> torch.Tensor:
        """The loss of a batch."""
        inputs, targets = batch
        loss = nn.functional.mse_loss(self.layer(inputs), targets)
        self.log("train/loss", loss)
        time.sleep(self.pause_seconds)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=0.1)


def main() -> None:
    """Train for some epochs, from the newest checkpoint if there is one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--pause", type=float, default=0.0, help="Seconds that each step waits.")
    arguments = parser.parse_args()
    folder = headway.run().checkpoint_directory()
    last = folder / "last.ckpt"
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
        callbacks=[ModelCheckpoint(dirpath=folder, save_last=True)],
    )
    data = DataLoader(TensorDataset(inputs, 3 * inputs + 1), batch_size=32)
    trainer.fit(Line(arguments.pause), data, ckpt_path=last if last.exists() else None)
    print("trained to step", trainer.global_step)


if __name__ == "__main__":
    main()
