"""Saving and loading. The step waits only for a copy; a thread writes it. Imports torch only when needed."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import tarfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from headway.rank_protocol.checkpoint_files import unpack_files
from headway.rank_protocol.checkpoint_parts import PartKind
from headway.rank_protocol.paths import restore_folder, restored_part, saved_part, saved_parts
from headway.rank_protocol.restored_checkpoint import RestoredCheckpoint, write_restored


class Saver:
    """Writes one part at a time in its own thread. The next save waits until it is written."""

    def __init__(self) -> None:
        self._copies: dict[str, Any] = {}
        self._thread: threading.Thread | None = None

    def start(self, write: Callable[[Path], None], path: Path, then: Callable[[str | None], None]) -> None:
        """Let `write` fill a file. Call `then(None)` once it is completely on the disk, or `then(error)` if that
        failed.
        """
        self._thread = threading.Thread(target=_write, args=(write, path, then), name="headway-save")
        self._thread.start()

    def wait(self) -> None:
        """Wait until the previous save is on the disk."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def copy(self, state: Any) -> Any:
        """A copy on the CPU. Buffers for tensors are reused, so that later copies cause no page faults."""
        return self._copy(state, "")

    def _copy(self, value: Any, place: str) -> Any:
        if isinstance(value, dict) and type(value).__module__ in ("builtins", "collections"):
            return {key: self._copy(one, f"{place}/{key}") for key, one in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._copy(one, f"{place}/{number}") for number, one in enumerate(value))
        if "torch" in sys.modules:
            import torch

            if type(value) in (torch.Tensor, torch.nn.Parameter) and value.layout is torch.strided:
                return self._copy_tensor(value.detach(), place)
        return copy.deepcopy(value)

    def _copy_tensor(self, value: Any, place: str) -> Any:
        import torch

        kept = self._copies.get(place)
        if kept is None or kept.shape != value.shape or kept.dtype != value.dtype or kept.stride() != value.stride():
            kept = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
            self._copies[place] = kept
        return kept.copy_(value)


def _write(write: Callable[[Path], None], path: Path, then: Callable[[str | None], None]) -> None:
    temporary = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.rename(path)
    except Exception as error:  # torch's writers raise various errors on a full disk
        temporary.unlink(missing_ok=True)
        then(str(error) or type(error).__name__)
    else:
        then(None)


def dump(state: Any, path: Path) -> None:
    """Write a file for `load_part`."""
    if "torch" not in sys.modules:
        with path.open("wb") as file:
            pickle.dump(state, file)
        return
    import torch

    checked = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)  # the whole file is hashed when it is stored
    try:
        torch.save(state, path)
    finally:
        torch.serialization.set_crc32_options(checked)


def load_part(path: Path) -> dict[str, Any]:
    """A rank's part: its `state`, `random` states and `positions`; in format 1, only the state."""
    part = _load(path)
    if isinstance(part, dict) and {"format", "state", "random", "positions"} <= part.keys():
        return part
    return {"state": part, "random": None, "positions": {}}


def _load(path: Path) -> Any:
    """The saved values, with tensors on the CPU. Only ranks load it, and only files that Headway's ranks wrote."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"  # as torch writes
        file.seek(0)
        if not zipped:
            return pickle.load(file)  # noqa: S301
    import torch

    # Mapped into memory, so that data for parameters is read only once.
    return torch.load(path, map_location="cpu", weights_only=False, mmap=True)


def plain(state: Any) -> Any:
    """The state, where models, optimizers and other objects with a state dict are replaced by it."""
    if isinstance(state, dict):
        return {name: plain(one) for name, one in state.items()}
    unwrapped = unwrap(state)
    return unwrapped.state_dict() if hasattr(unwrapped, "state_dict") else state


def put_back(saved: Any, into: dict[str, Any]) -> None:
    """Load saved states into the objects of the same names. Raises KeyError for a name that was not saved."""
    for name, one in into.items():
        target = unwrap(one)
        if hasattr(target, "load_state_dict"):
            if not isinstance(saved, dict) or name not in saved:
                raise KeyError(f"{name} was not saved; the checkpoint has {_names(saved)}")
            target.load_state_dict(saved[name])


def _names(saved: Any) -> str:
    return ", ".join(map(str, saved)) if isinstance(saved, dict) else f"a {type(saved).__name__}"


def sharded(state: dict[str, Any]) -> bool:
    """Whether a model in the state holds its parameters in shards (FSDP2). Costs no import."""
    tensors = sys.modules.get("torch.distributed.tensor")
    return tensors is not None and any(
        isinstance(parameter, tensors.DTensor)
        for model in state.values()
        if hasattr(model, "parameters")
        for parameter in model.parameters()
    )


def unwrap(model: Any) -> Any:
    """The model inside torch's wrappers: DistributedDataParallel, DataParallel and torch.compile, in any order.

    A model's own attribute with the name of a wrapper's attribute stays part of the model.
    """
    if "torch" not in sys.modules:
        return model
    import torch

    compiled = sys.modules.get("torch._dynamo.eval_frame")
    parallel = (torch.nn.parallel.DistributedDataParallel, torch.nn.DataParallel)
    while True:
        if compiled is not None and isinstance(model, compiled.OptimizedModule):
            model = model._orig_mod
        elif isinstance(model, parallel):
            model = model.module
        else:
            return model


def prepare_restore(output: Path, world_size: int, files_folder: Callable[[], Path]) -> Path | None:
    """Outside Headway: prepare the newest step in the output directory for a restore, as a worker would.

    Only steps with the parts of all ranks count; None if there is none. Ranks of one machine may do this at the same
    time.
    """
    for step in sorted((int(path.name) for path in saved_parts(output).glob("[0-9]*")), reverse=True):
        parts = [saved_part(output, step, rank) for rank in range(world_size)]
        files = parts[0].exists() and tarfile.is_tarfile(parts[0])
        if not files and not all(part.exists() for part in parts):
            continue
        folder = restore_folder(parts[0].parent)
        folder.mkdir(exist_ok=True)
        if files:
            unpack_files(parts[0], files_folder())
        for rank, part in enumerate(parts[:1] if files else parts):
            with suppress(FileExistsError):
                restored_part(folder, rank).symlink_to(part.absolute())
        kind = PartKind.FILES if files else PartKind.STATE
        write_restored(folder, RestoredCheckpoint(step, world_size, kind))
        return folder
    return None
