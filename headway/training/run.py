"""What one rank sees of its attempt. The same script runs outside Headway too, where nothing is recorded.

It needs only the standard library until batches or a model are asked for, for a job's own environment may have no more.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import torch

_DATA = "HEADWAY_DATA_DIRECTORY"


class Run:
    """One rank of one attempt: who it is, its parameters, and where its metrics and files go.

    `data_directory`: the job's dataset, a .npy file per array and dataset.json; None if it asked for none.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.rank = int(variables.get("RANK", "0"))
        self.local_rank = int(variables.get("LOCAL_RANK", "0"))
        self.world_size = int(variables.get("WORLD_SIZE", "1"))
        self.local_world_size = int(variables.get("LOCAL_WORLD_SIZE", "1"))
        self.job = variables.get("HEADWAY_JOB_ID")
        self.attempt = int(variables.get("HEADWAY_ATTEMPT", "1"))
        self.parameters: dict[str, Any] = json.loads(variables.get("HEADWAY_PARAMETERS", "{}"))
        self.output_directory = Path(variables.get("HEADWAY_OUTPUT_DIRECTORY", "outputs"))
        self.data_directory = Path(variables[_DATA]) if variables.get(_DATA) else None
        self.record_file = variables.get("HEADWAY_RUN_FILE")
        self._descriptor: int | None = None
        self._first_logged = False
        self._stop_asked: bool | None = None

    @classmethod
    def of_rank(cls) -> Run:
        """The run of this process, from its variables."""
        return cls(os.environ)

    def log(self, step: int, **values: float) -> None:
        """Record metrics of a step. A name may have a slash: `run.log(5, **{"train/loss": 0.3})`.

        Costs a few microseconds: one small append to a local file, which the worker reads.
        """
        self.record({"step": step, "at": time.time(), "values": {name: float(values[name]) for name in values}})
        if not self._first_logged:
            self._first_logged = True
            if self.rank == 0:
                self.reached("first_step")

    def reached(self, stage: str, total_steps: int | None = None) -> None:
        """Record that a stage of the training was reached, for the job's stage times.

        With `total_steps` whoever follows the job sees how far it is.
        """
        self.record({"type": "stage_reached", "stage": stage, "at": time.time(), "total_steps": total_steps})

    def finish(self, **result: Any) -> None:
        """Record the job's result: figures for JSON, such as `run.finish(test={"accuracy": 0.98})`. Rank 0's counts."""
        if self.rank == 0:
            self.record({"type": "result_stored", "result": result})

    def record(self, record: dict[str, Any]) -> None:
        """Append one record for the worker; whole, since appends of this size are atomic."""
        if self.record_file is None:
            return
        if self._descriptor is None:
            self._descriptor = os.open(self.record_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(self._descriptor, json.dumps(record).encode() + b"\n")

    def save(self, state: Any, step: int) -> None:
        """Save what this rank needs to go on from `step`: a state dict, a dict of them, anything torch can save.

        Every rank calls it for the same steps. It returns once the state is on this machine's disk; the worker stores
        it while training goes on. Once all ranks' parts of a step are stored they are a checkpoint, and the job's next
        attempt, should there be one, starts from the newest. The newest three are kept.
        """
        path = self._saved(step)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        with temporary.open("wb") as file:
            _dump(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        self.record({"type": "checkpoint_saved", "step": step})

    def restore(self) -> Any:
        """What this rank saved in the checkpoint that the attempt starts from; None if there is none.

        Tensors come back on the CPU. With another number of ranks than at the save, the parts are dealt out in turn.
        Outside Headway it is what was saved last.
        """
        if self.record_file is not None:
            path = Path(self.record_file).parent / "restore" / f"rank-{self.rank}"
            return _load(path) if path.exists() else None
        saved = sorted(self._saved(0).parent.parent.glob(f"*/rank-{self.rank}"), key=lambda path: int(path.parent.name))
        return _load(saved[-1]) if saved else None

    def _saved(self, step: int) -> Path:
        folder = self.output_directory if self.record_file is None else Path(self.record_file).parent
        return folder / "checkpoints" / str(step) / f"rank-{self.rank}"

    @property
    def should_stop(self) -> bool:
        """Whether the rank was asked to end (SIGTERM). Who asks for this takes over: save what is needed, and return.

        Before the first use SIGTERM ends the process at once. To be used in the main thread.
        """
        if self._stop_asked is None:
            self._stop_asked = False
            signal.signal(signal.SIGTERM, self._ask_to_stop)
        return self._stop_asked

    def _ask_to_stop(self, _signal: int, _frame: object) -> None:
        self._stop_asked = True

    def batches(
        self, batch_size: int, *, epochs: int = 1, split: str = "train", shuffle: bool = True, seed: int = 0
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """This rank's part of each batch of the job's dataset: inputs float32 (n, ...), labels int64 (n,).

        All samples come `epochs` times. `batch_size` counts all ranks together. Inputs are normalised to the training
        split's mean and deviation; an image (height, width) gets a channel. The order depends on the seed and the
        epoch only, whatever the world size. Raises InvalidInput when the job has no dataset.
        """
        from headway.training.script_data import script_batches

        return script_batches(self, batch_size, epochs=epochs, split=split, shuffle=shuffle, seed=seed)

    def save_model(self, model: torch.nn.Module, **card: Any) -> None:
        """Keep a model's weights as the job's model: safetensors, a plain state dict, and a card with what is given.

        Every rank may call it; rank 0 writes. A DistributedDataParallel or compiled model is unwrapped.
        """
        if self.rank == 0:
            from headway.training.model_files import write_model

            write_model(model, {"job": self.job, "attempt": self.attempt, **card}, self.output_directory)


def _dump(state: Any, file: BinaryIO) -> None:
    if "torch" in sys.modules:
        import torch

        torch.save(state, file)
    else:
        pickle.dump(state, file)


def _load(path: Path) -> Any:
    """Only ranks open it, and only what a rank of the same job wrote."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"  # as torch writes
        file.seek(0)
        if not zipped:
            return pickle.load(file)  # noqa: S301
        import torch

        return torch.load(file, map_location="cpu", weights_only=False)


@cache
def run() -> Run:
    """The run of this process."""
    return Run.of_rank()
