"""A script with TensorBoard and without Headway code. Headway reads its scalars while they are written."""

from __future__ import annotations

from torch.utils.tensorboard import SummaryWriter

with SummaryWriter() as writer:  # writes into runs/, its default
    for step in range(100):
        writer.add_scalar("loss/train", 1 / (step + 1), step)
print("written")
