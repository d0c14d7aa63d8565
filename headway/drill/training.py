"""The drill's training: a small network with dropout, which prints its steps and continues from checkpoints."""

import hashlib
import os
import signal
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import headway

STEPS, SAVE_STEPS = int(os.environ.get("STEPS", "200")), int(os.environ.get("SAVE_STEPS", "20"))
run = headway.run()
start = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
trouble, trouble_step = os.environ.get("TROUBLE", ""), 70
torch.manual_seed(0)
inner = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 4))
model: nn.Module = inner
if run.world_size > 1:
    dist.init_process_group("gloo")
    model = DistributedDataParallel(inner)
    run.warm_up(model, torch.zeros(2, 16))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
torch.manual_seed(run.rank)
state = {"model": model, "optimizer": optimizer}
run.restore(state)
first = run.restored_step or 0
for step in range(first + 1, STEPS + 1):
    if trouble and start == 0 and step == trouble_step and run.rank == run.world_size - 1:
        if trouble == "exception":
            raise ConnectionError("the drill's own: Connection reset by peer")
        if trouble == "SIGSEGV":
            os.kill(os.getpid(), signal.SIGSEGV)
        if trouble == "SIGKILL":
            print("killed", time.time(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if trouble == "memory":
            hoard = []
            while True:
                hoard.append(torch.ones(1 << 24))
                time.sleep(0.02)
        if trouble == "hang":
            time.sleep(3600)
    data = torch.Generator().manual_seed(1000 * step + run.rank)
    inputs, labels = torch.randn(32, 16, generator=data), torch.randint(0, 4, (32,), generator=data)
    loss = nn.functional.cross_entropy(model(inputs), labels)
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
    time.sleep(0.02)
    run.log(step, **{"train/loss": loss.item()})
    print("step", step, flush=True)
    if step % SAVE_STEPS == 0:
        run.save(state if run.rank == 0 else None, step)
weights = b"".join(tensor.numpy().tobytes() for tensor in inner.state_dict().values())
print("weights", hashlib.sha256(weights).hexdigest(), flush=True)
