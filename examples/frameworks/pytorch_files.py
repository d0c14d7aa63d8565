"""PyTorch that writes its checkpoints as files, into a directory that Headway names. It has no Headway code.

headway run examples/frameworks/pytorch_files.py
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from torch import nn


def main() -> None:
    """Fit a line. Save the state in a file that gets its final name only when it is complete."""
    folder = Path(os.environ.get("HEADWAY_CHECKPOINT_DIRECTORY", "checkpoints"))
    folder.mkdir(exist_ok=True)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    first = 0
    newest = max(folder.glob("step-*.pt"), key=lambda path: int(path.stem.removeprefix("step-")), default=None)
    if newest is not None:
        state = torch.load(newest)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    print("from step", first, flush=True)
    for step in range(first + 1, int(os.environ.get("STEPS", "40")) + 1):
        inputs = torch.rand(32, 1)
        loss = nn.functional.mse_loss(model(inputs), 3 * inputs + 1)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        time.sleep(0.1)
        if step % 10 == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            torch.save(state, folder / "step.tmp")
            (folder / "step.tmp").rename(folder / f"step-{step}.pt")
            print("saved", step, flush=True)
    print("through at step", int(os.environ.get("STEPS", "40")))


if __name__ == "__main__":
    main()
