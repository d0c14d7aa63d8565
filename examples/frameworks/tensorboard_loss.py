"""A script with TensorBoard that knows nothing of Headway; its scalars are read while they are written."""

from __future__ import annotations

from torch.utils.tensorboard import SummaryWriter

with SummaryWriter() as writer:  # into runs/, as ever
    for step in range(100):
        writer.add_scalar("loss/train", 1 / (step + 1), step)
print("written")
