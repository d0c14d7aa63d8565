"""Plain PyTorch with an exact resume, however often it is killed.

headway run examples/resume.py --dataset digits --world-size 2
"""

from __future__ import annotations

import argparse
import hashlib
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import headway


def main() -> None:
    """Train on the job's dataset and print a hash of the weights."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--save-steps", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that each step waits, so that you can watch")
    arguments = parser.parse_args()
    run = headway.run()
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10))
    model: nn.Module = inner
    if run.world_size > 1:
        dist.init_process_group("gloo")
        model = DistributedDataParallel(inner)
        run.warm_up(model, torch.zeros(2, 1, 8, 8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9999)
    torch.manual_seed(run.rank)

    state = {"model": model, "optimizer": optimizer, "schedule": schedule}
    run.restore(state)
    first = run.restored_step or 0
    for step, (inputs, labels) in enumerate(run.batches(64, epochs=arguments.epochs), first + 1):
        loss = nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        run.log(step, **{"train/loss": loss.item()})
        time.sleep(arguments.pause)
        if run.should_save(step) or step % arguments.save_steps == 0:
            run.save(state if run.rank == 0 else None, step)
        if run.should_stop:
            return
    if run.rank == 0:
        weights = b"".join(tensor.numpy().tobytes() for tensor in inner.state_dict().values())
        print("weights", hashlib.sha256(weights).hexdigest())
    run.save_model(model)


if __name__ == "__main__":
    main()
