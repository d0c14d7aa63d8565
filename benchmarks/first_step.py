"""The script of both sides of the launch benchmark: DDP to the end of the first step. It writes the time to a file."""

import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
model = DistributedDataParallel(nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)))
optimizer = torch.optim.Adam(model.parameters())
nn.functional.cross_entropy(model(torch.rand(32, 784)), torch.randint(0, 10, (32,))).backward()
optimizer.step()
if dist.get_rank() == 0:
    Path(sys.argv[1]).write_text(str(time.time()))
dist.destroy_process_group()
