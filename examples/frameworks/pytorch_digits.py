"""Plain PyTorch with Headway's dataset tensors, metrics, model and clean stop.

headway run examples/frameworks/pytorch_digits.py --dataset digits --world-size 2 --set epochs=5
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import headway

run = headway.run()
epochs = int(run.parameters.get("epochs", 3))
batch_size = int(run.parameters.get("batch_size", 64))

if run.world_size > 1:
    dist.init_process_group("gloo")
torch.manual_seed(0)
model: nn.Module = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
if run.world_size > 1:
    model = DistributedDataParallel(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

for step, (inputs, labels) in enumerate(run.batches(batch_size, epochs=epochs), start=1):
    loss = nn.functional.cross_entropy(model(inputs), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if run.rank == 0 and step % 10 == 0:
        run.log(step, **{"train/loss": loss.item()})
    if run.should_stop:
        break

model.eval()
with torch.inference_mode():
    found = [
        (model(inputs).argmax(dim=1) == labels) for inputs, labels in run.batches(512, split="test", shuffle=False)
    ]
right, count = torch.tensor(float(torch.cat(found).sum())), torch.tensor(float(len(torch.cat(found))))
if run.world_size > 1:
    dist.all_reduce(right)
    dist.all_reduce(count)
accuracy = (right / count).item()
print(f"test accuracy {accuracy:.4f}")
run.save_model(model, accuracy=accuracy)
run.finish(test={"accuracy": accuracy})
