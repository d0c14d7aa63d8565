"""A training loop of about ten seconds that prints and times itself. Headway and torchrun run it."""

import json
import sys
import time
from pathlib import Path

import torch
from torch import nn

STEPS = 1500
marker = Path(sys.argv[1])
torch.set_num_threads(1)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
optimizer = torch.optim.AdamW(model.parameters(), fused=True)
inputs, labels = torch.rand(64, 784), torch.randint(0, 10, (64,))
for step in range(STEPS):
    loss = nn.functional.cross_entropy(model(inputs), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step == 0:
        marker.with_suffix(".started").touch()
        first_step, first_cpu = time.time(), time.process_time()
    if step % 50 == 0:
        print(f"step {step} loss {loss.item():.4f}", flush=True)
times = {"first_step": first_step, "last_step": time.time(), "cpu_seconds": time.process_time() - first_cpu}
temporary = marker.with_suffix(".new")
temporary.write_text(json.dumps(times))
temporary.rename(marker)
