"""The same first step under Ray Train. It writes the time to a file."""

import sys
import time
from pathlib import Path

import ray.train.torch
import torch
from ray.train import ScalingConfig
from torch import nn


def first_step(config: dict[str, str]) -> None:
    """One rank."""
    model = ray.train.torch.prepare_model(nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)))
    optimizer = torch.optim.Adam(model.parameters())
    nn.functional.cross_entropy(model(torch.rand(32, 784)), torch.randint(0, 10, (32,))).backward()
    optimizer.step()
    if ray.train.get_context().get_world_rank() == 0:
        Path(config["marker"]).write_text(str(time.time()))


ray.train.torch.TorchTrainer(
    first_step, train_loop_config={"marker": sys.argv[1]}, scaling_config=ScalingConfig(num_workers=2)
).fit()
