"""A plain DistributedDataParallel script. It has no Headway code, and runs under torchrun as well.

headway run examples/ddp.py --world-size 2 -- --steps 200
torchrun --nproc-per-node 2 examples/ddp.py --steps 200
"""

from __future__ import annotations

import argparse

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def main() -> None:
    """Fit a line's slope and offset, with gradients averaged over all ranks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    arguments = parser.parse_args()

    dist.init_process_group("gloo")
    rank = dist.get_rank()
    torch.manual_seed(rank)
    model = DistributedDataParallel(nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=arguments.learning_rate)
    for step in range(1, arguments.steps + 1):
        inputs = torch.rand(64, 1)
        loss = nn.functional.mse_loss(model(inputs), 3 * inputs + 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if rank == 0 and step % 20 == 0:
            print(f"step {step} loss {loss.item():.5f}")
    if rank == 0:
        slope, offset = (parameter.item() for parameter in model.parameters())
        print(f"slope {slope:.3f} offset {offset:.3f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
