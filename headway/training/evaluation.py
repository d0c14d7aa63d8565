"""Loss, accuracy, macro F1 and confusion matrix of a classifier, over all ranks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed
from torch import nn


@torch.inference_mode()
def evaluate(
    model: nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], *, classes: int, device: torch.device
) -> dict[str, Any]:
    """Evaluate each rank's part and sum up, so that every rank has the whole result.

    `confusion[i][j]` counts samples of class i that were predicted as class j.
    """
    model.eval()
    confusion = torch.zeros(classes * classes, dtype=torch.int64, device=device)
    loss_sum = torch.zeros((), dtype=torch.float64, device=device)
    for inputs, labels in batches:
        logits = model(inputs).float()
        loss_sum += nn.functional.cross_entropy(logits, labels, reduction="sum")
        confusion += torch.bincount(labels * classes + logits.argmax(dim=1), minlength=classes * classes)
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(confusion)
        torch.distributed.all_reduce(loss_sum)
    model.train()
    return _figures(confusion.reshape(classes, classes).cpu(), float(loss_sum))


def _figures(confusion: torch.Tensor, loss_sum: float) -> dict[str, Any]:
    count = int(confusion.sum())
    right = confusion.diagonal().double()
    # F1 = 2 TP / (2 TP + FP + FN); A class that neither occurs nor is predicted counts as 0, as in scikit-learn.
    f1 = 2 * right / (confusion.sum(dim=0) + confusion.sum(dim=1)).double().clamp(min=1)
    return {
        "samples": count,
        "loss": loss_sum / max(count, 1),
        "accuracy": float(right.sum()) / max(count, 1),
        "f1": float(f1.mean()),
        "confusion": confusion.tolist(),
    }
