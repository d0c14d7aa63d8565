"""The PyTorch MNIST example's loop (examples/mnist/main.py): its dataset, transforms, DataLoader and Adadelta.

Only the model and the number of samples and epochs are Headway's.
"""

from __future__ import annotations

import json
import sys
import time

import torch
import torch.nn.functional as F  # noqa: N812 - as the example has it
from torch import nn, optim
from torch.optim.lr_scheduler import StepLR
from torchvision import datasets, transforms

SAMPLES, EPOCHS = 12_800, 2


def make_model() -> nn.Module:
    """The layers of headway's CNN, in the usual order."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10), nn.LogSoftmax(dim=1),
    )  # fmt: skip


def main() -> None:
    """Print samples per second of training, and the test accuracy."""
    folder, seed = sys.argv[1], int(sys.argv[2])
    torch.manual_seed(seed)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    train = torch.utils.data.Subset(datasets.MNIST(folder, train=True, transform=transform), range(SAMPLES))
    loader = torch.utils.data.DataLoader(train, batch_size=64, shuffle=True)
    model = make_model()
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    began = time.time()
    for _ in range(EPOCHS):
        model.train()
        for batch, (data, target) in enumerate(loader):
            optimizer.zero_grad()
            loss = F.nll_loss(model(data), target)
            loss.backward()
            optimizer.step()
            if batch % 10 == 0:
                loss.item()
        scheduler.step()
    seconds = time.time() - began
    test = torch.utils.data.DataLoader(datasets.MNIST(folder, train=False, transform=transform), batch_size=1000)
    model.eval()
    with torch.no_grad():
        right = sum(int((model(data).argmax(dim=1) == target).sum()) for data, target in test)
    print(json.dumps({"samples_per_second": SAMPLES * EPOCHS / seconds, "accuracy": right / 10_000}))


if __name__ == "__main__":
    main()
