"""Two ranks train; each start leaves a file that names its process and when its first step ended."""

import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

folder, start = Path(sys.argv[1]), os.environ["TORCHELASTIC_RESTART_COUNT"]
dist.init_process_group("gloo")
rank = dist.get_rank()
model = DistributedDataParallel(nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)))
optimizer = torch.optim.AdamW(model.parameters())
for step in range(2000):
    loss = nn.functional.cross_entropy(model(torch.rand(64, 784)), torch.randint(0, 10, (64,)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step == 0:
        (folder / f"new-{rank}").write_text(f"{os.getpid()} {time.time()}")
        (folder / f"new-{rank}").rename(folder / f"start-{start}-{rank}")
    if start != "0" and step == 20:
        break
    time.sleep(0.01)
