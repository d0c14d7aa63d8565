"""Sharded state (FSDP2): each rank saves its shards, and any number of ranks can load them.

torch.distributed.checkpoint writes and reads it: https://docs.pytorch.org/docs/stable/distributed.checkpoint.html
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint import state_dict as by_name
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.utils._pytree import tree_map_only


def copy_shards(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Copies of this rank's shards of models and optimizers; and the rest of the state, unchanged."""
    tensors = _by_name(state)
    copied = {name: tree_map_only(torch.Tensor, lambda one: one.detach().clone(), one) for name, one in tensors.items()}
    return copied, {name: one for name, one in state.items() if name not in tensors}


@cache
def saving_group() -> dist.ProcessGroup:
    """A process group for saving, so that it runs in parallel with training. All ranks must call this together."""
    group = dist.new_group(backend="gloo")
    assert not isinstance(group, int)  # an int is for ranks which are not members
    return group


def write_shards(shards: dict[str, Any], folder: Path, group: dist.ProcessGroup) -> None:
    """Write this rank's shards into a folder, together with all other ranks. Runs in a thread beside training."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = FileSystemWriter(folder, single_file_per_rank=True, sync_files=True)
    try:
        save(shards, storage_writer=writer, process_group=group)
    except CheckpointException as error:  # a BaseException
        raise OSError(str(error)) from error


def load_shards(into: dict[str, Any], folder: Path) -> None:
    """Load shards, saved by any number of ranks, into the models and optimizers of `into`."""
    tensors = _by_name(into)
    load(tensors, storage_reader=FileSystemReader(folder))
    model = _model(into)
    for name, one in into.items():
        if isinstance(one, nn.Module):
            by_name.set_model_state_dict(one, tensors[name])
        elif isinstance(one, torch.optim.Optimizer) and model is not None:
            by_name.set_optimizer_state_dict(model, one, tensors[name])


def _model(state: dict[str, Any]) -> nn.Module | None:
    return next((one for one in state.values() if isinstance(one, nn.Module)), None)


def _by_name(state: dict[str, Any]) -> dict[str, Any]:
    """State dicts with the full names of parameters as keys, which do not depend on the number of ranks."""
    model = _model(state)
    found: dict[str, Any] = {}
    for name, one in state.items():
        if isinstance(one, nn.Module):
            found[name] = by_name.get_model_state_dict(one)
        elif isinstance(one, torch.optim.Optimizer) and model is not None:
            found[name] = by_name.get_optimizer_state_dict(model, one)
    return found
