"""A step without effect, after which every start of a model computes in the same order."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from headway.training.random_state import random_state, set_random_state


def warm_up(model: nn.Module, *inputs: Any) -> None:
    """Run the model forward and backward once. Weights, buffers, gradients and random states stay as they were.

    DistributedDataParallel reorders its gradient buckets after the first step, which changes the order of summation. So
    an attempt that continues from a checkpoint would sum differently from an uninterrupted one. After this call both
    have the final order. Call it in every attempt, before the checkpoint is restored.
    """
    before = random_state()
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    loss = _sum(model(*inputs))
    loss.backward()  # type: ignore[no-untyped-call]
    for parameter in model.parameters():
        parameter.grad = None
    with torch.no_grad():
        for buffer, value in buffers:
            buffer.copy_(value)
    set_random_state(before)


def _sum(output: Any) -> torch.Tensor:
    """A scalar that depends on all outputs of the model."""
    if isinstance(output, torch.Tensor):
        return output.float().sum()
    parts = output.values() if isinstance(output, dict) else output
    return torch.stack([_sum(part) for part in parts if isinstance(part, torch.Tensor | list | tuple | dict)]).sum()
