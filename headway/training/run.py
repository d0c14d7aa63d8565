"""What one rank sees of its attempt. The same script also runs outside Headway; then nothing is recorded.

It needs only the standard library until batches or models are used: a job's own environment may have nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headway.errors import EnvironmentFailed
from headway.rank_protocol import rank_variables, run_records
from headway.rank_protocol.checkpoint_files import pack_files
from headway.rank_protocol.checkpoint_parts import CHECKPOINT_FORMAT, PartKind
from headway.rank_protocol.paths import (
    checkpoint_files_folder,
    log_file,
    restore_folder,
    restored_part,
    saved_part,
    shards_folder,
)
from headway.rank_protocol.record_bounds import checked_metric, checked_step
from headway.rank_protocol.restored_checkpoint import RestoredCheckpoint, read_restored
from headway.rank_protocol.save_policy import SavePolicy
from headway.rank_protocol.version import mismatch_with_worker
from headway.training.checkpoint_schedule import CheckpointSchedule
from headway.training.plain_values import real_numbers, whole_number
from headway.training.random_state import random_state, set_random_state
from headway.training.record_encoding import checked_result, encoded_record
from headway.training.saving import Saver, dump, load_part, plain, prepare_restore, put_back, sharded

if TYPE_CHECKING:
    import torch


class Run:
    """One rank of one attempt: its numbers, its parameters, and where its metrics and files go.

    `data_directory`: the job's dataset, a .npy file per array and dataset.json; None if the job has none.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.rank = int(variables.get("RANK", "0"))
        self.local_rank = int(variables.get("LOCAL_RANK", "0"))
        self.world_size = int(variables.get("WORLD_SIZE", "1"))
        self.local_world_size = int(variables.get("LOCAL_WORLD_SIZE", "1"))
        self.job = variables.get(rank_variables.JOB_ID)
        self.attempt = int(variables.get(rank_variables.ATTEMPT, "1"))
        self.parameters: dict[str, Any] = json.loads(variables.get(rank_variables.PARAMETERS, "{}"))
        self.output_directory = Path(variables.get(rank_variables.OUTPUT_DIRECTORY, "outputs"))
        data_directory = variables.get(rank_variables.DATA_DIRECTORY)
        self.data_directory = Path(data_directory) if data_directory else None
        self.record_file = variables.get(rank_variables.RUN_FILE)
        self._process = os.getpid()
        self._descriptor: int | None = None
        self._first_logged = False
        self.asked_to_stop = self.obeys_sigterm = self.interrupted = False
        save_policy = variables.get(rank_variables.CHECKPOINTS)
        self._policy = SavePolicy.from_json(save_policy) if save_policy else SavePolicy()
        self._saver = Saver()
        self._positions: dict[str, int] = {}
        self._start_positions: dict[str, int] = {}

    @classmethod
    def of_rank(cls) -> Run:
        """The run of this process, from its variables.

        Raises EnvironmentFailed when its Headway and the worker's have different protocols.
        """
        run = cls(os.environ)
        problem = mismatch_with_worker(os.environ)
        if problem is not None:
            run.record(run_records.RankError(problem, environment=True))
            raise EnvironmentFailed(problem)
        return run

    @property
    def of_this_process(self) -> bool:
        """Whether this process is the rank itself. The end of a fork is not the rank's end."""
        return os.getpid() == self._process

    def log(self, step: int, **values: float) -> None:
        """Record metrics of a step. A name may have a slash: `run.log(5, **{"train/loss": 0.3})`.

        Step and values may be NumPy numbers, tensors or JAX arrays with one number each. A call takes a few
        microseconds: one small append to a local file, which the worker reads. Raises TypeError, which names the
        metric, for a value that is not a number, and ValueError for a step beyond 2**53 or a name of more than 200
        characters.
        """
        step = checked_step(whole_number(step, "step"))
        for name in values:
            checked_metric(name)
        self._append(run_records.metrics_values(step, time.time(), real_numbers(values)))
        if not self._first_logged:
            self._first_logged = True
            if self.rank == 0:
                self.reached("first_step")

    def reached(self, stage: str, total_steps: int | None = None) -> None:
        """Record that training reached a stage, for the job's stage times.

        With `total_steps`, people who follow the job see its progress.
        """
        total_steps = None if total_steps is None else whole_number(total_steps, "total_steps")
        self.record(run_records.StageReached(stage, time.time(), total_steps))

    def finish(self, **result: Any) -> None:
        """Record the job's result, such as `run.finish(test={"accuracy": 0.98})`. Only rank 0's counts.

        NumPy numbers, arrays and tensors are written as numbers and lists. Raises TypeError for other objects that JSON
        cannot represent, and ValueError for more than 256 KiB of JSON, more than 32 levels of dicts and lists, and
        whole numbers of more than 64 bits. Write larger results to a file in `output_directory`.
        """
        result = checked_result(result)
        if self.rank == 0:
            self.record(run_records.ResultStored(result))

    def record(self, record: run_records.Record) -> None:
        """Append one record for the worker. Appends of this size are atomic.

        Raises ValueError for more than 256 KiB of JSON.
        """
        self._append(run_records.record_values(record))

    def _append(self, values: dict[str, Any]) -> None:
        if self.record_file is None:
            return
        if self._descriptor is None:
            self._descriptor = os.open(self.record_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(self._descriptor, encoded_record(values))

    def should_save(self, step: int, *, epoch_end: bool = False) -> bool:
        """Whether to save after this step, by the job's `checkpoints`. Call it once after each step, on every rank.

        All ranks get the same answer. The answer is also yes when a rank was asked to end: save, then exit if
        `should_stop` is true. Several ranks can agree on time limits only once torch.distributed is initialised.
        """
        return self._schedule.due(whole_number(step, "step"), epoch_end=epoch_end)

    @cached_property
    def _schedule(self) -> CheckpointSchedule:
        self._obey_sigterm()
        if self.rank == 0:
            self.record(run_records.AsksToSave())
        return CheckpointSchedule(self._policy, self.world_size, lambda: self.asked_to_stop)

    def save(self, state: Any, step: int) -> None:
        """Save the state that this rank needs to continue from `step`. Every rank calls it for the same steps.

        `state` is a dict of models, optimizers, schedules and plain values, or anything else that torch can save. A
        rank that passes None gets rank 0's state back, which suits DistributedDataParallel. Random states and the
        position of `batches` are always saved. `state` may also be a folder: then its files are saved, and only rank
        0's folder counts.

        It returns once the state is copied. A thread writes the copy during training, and the worker stores it. Once
        the parts of all ranks are stored, they are a checkpoint, from which the job's next attempt starts.
        """
        step = checked_step(whole_number(step, "step"))
        if step < 0:
            raise ValueError(f"step is {step}: a checkpoint's step is 0 or more")
        self._saver.wait()
        began_at = self._record_begun()
        if isinstance(state, Path):
            if self.rank == 0:
                left_out = pack_files(state, self._saved(step))
                self._record_saved(step, began_at, PartKind.FILES)
                if left_out:
                    names = [ascii(name)[1:-1][:1000] for name in left_out[:5]]
                    self.record(run_records.LinksLeftOut(step, names, len(left_out)))
            return
        own = {
            "format": CHECKPOINT_FORMAT,
            "step": step,
            "world_size": self.world_size,
            "random": random_state(),
            "positions": self._positions,
        }
        if isinstance(state, dict) and sharded(state):
            self._save_shards(state, own, step, began_at)
            return
        replica = state is None and self.rank > 0
        copied = self._saver.copy({**own, "state": None if replica else plain(state)})
        self._start_saving(lambda path: dump(copied, path), step, began_at, PartKind.STATE, replica=replica)

    def _save_shards(self, state: dict[str, Any], own: dict[str, Any], step: int, began_at: float) -> None:
        from headway.training.shards import copy_shards, saving_group, write_shards

        shards, rest = copy_shards(state)
        copied = self._saver.copy({**own, "state": plain(rest)})
        group = saving_group()

        def write(path: Path) -> None:
            folder = path.with_suffix(".shards")
            try:
                write_shards(shards, shards_folder(folder), group)
                dump(copied, restored_part(folder, self.rank))
                pack_files(folder, path, hidden=True)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

        self._start_saving(write, step, began_at, PartKind.SHARDS)

    def _start_saving(
        self, write: Callable[[Path], None], step: int, began_at: float, kind: PartKind, *, replica: bool = False
    ) -> None:
        def then(error: str | None) -> None:
            if error is None:
                self._record_saved(step, began_at, kind, replica=replica)
                return
            words = f"The checkpoint of step {step} was not saved by rank {self.rank}: {error}."
            print(f"headway: {words} Training continues.", file=sys.stderr, flush=True)
            self.record(run_records.CheckpointNotSaved(step, self.rank, error[:1000]))

        self._saver.start(write, self._saved(step), then)

    def _record_begun(self) -> float:
        """The time of the saved state. An attempt from this checkpoint repeats all output after it."""
        began_at = time.time()
        if self.record_file is None:
            return began_at
        try:
            log_bytes = log_file(Path(self.record_file).parent, self.rank).stat().st_size
        except OSError:  # the script has deleted it
            return began_at
        self.record(run_records.CheckpointBegun(began_at, log_bytes))
        return began_at

    def _record_saved(self, step: int, began_at: float, kind: PartKind, *, replica: bool = False) -> None:
        self.record(run_records.CheckpointSaved(step, began_at, kind, replica))

    def restore(self, into: dict[str, Any] | None = None) -> Any:
        """The state that this rank saved in the checkpoint where the attempt starts; None if there is none.

        With `into`, state dicts are loaded into the models, optimizers and schedules of the same names. Random states
        and the position of `batches` are restored as well. Tensors are returned on the CPU. If the number of ranks has
        changed, the parts are distributed in turn, without random states; sharded models are sharded again. For a saved
        folder, the result is the path of its files. Outside Headway, the newest saved state is returned.

        Raises KeyError when `into` has a name that was not saved.
        """
        found = self._restored()
        if found is None:
            return None
        folder, given = found
        if given.kind is PartKind.FILES:
            return self.checkpoint_directory()
        own_rank = self.rank % given.world_size
        own = load_part(restored_part(folder, own_rank))
        replica = own["state"] is None and own_rank > 0
        state = load_part(restored_part(folder, 0))["state"] if replica else own["state"]
        if given.kind is PartKind.SHARDS:
            from headway.training.shards import load_shards

            if into is None:
                raise ValueError("A checkpoint of sharded models needs the models: run.restore({'model': model, ...})")
            load_shards(into, shards_folder(folder))
            into = {name: one for name, one in into.items() if name in (state or {})}
        if into is not None:
            put_back(state, into)
        if given.world_size == self.world_size and own["random"] is not None:
            set_random_state(own["random"])
        self._positions, self._start_positions = dict(own["positions"]), dict(own["positions"])
        if self.rank == 0:
            self.record(run_records.CheckpointRestored(given.step))
        return state

    @property
    def restored_step(self) -> int | None:
        """The step of the checkpoint where the attempt starts; None if it starts from the beginning."""
        found = self._restored()
        return None if found is None else found[1].step

    def checkpoint_directory(self) -> Path:
        """A folder for checkpoint files. It contains the files of the checkpoint where the attempt starts.

        The folder as a whole becomes a checkpoint, without a call, once it has not changed for half a second and no
        file in it is open for writing. Names that start with a dot or `tmp-`, or end in .tmp, .new or .part, are
        ignored until they are renamed. So a program that renames complete files never has an incomplete file saved.
        Rank 0's worker stores it. The path is also in HEADWAY_CHECKPOINT_DIRECTORY.
        """
        folder = Path(
            os.environ.get(rank_variables.CHECKPOINT_DIRECTORY, checkpoint_files_folder(self.output_directory))
        )
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def warm_up(self, model: torch.nn.Module, *inputs: Any) -> None:
        """Make a resumed run of three or more ranks exact, although DistributedDataParallel reorders its buckets.

        Call it in every attempt before `restore`, with one batch of inputs. It changes neither weights nor random
        states. Without it, a resumed run of three or more ranks may differ from an uninterrupted one in the last bits.
        """
        from headway.training.warm_up import warm_up

        warm_up(model, *inputs)

    def _restored(self) -> tuple[Path, RestoredCheckpoint] | None:
        """The folder and description of the checkpoint to start from. Outside Headway: of the newest save."""
        if self.record_file is not None:
            folder = restore_folder(Path(self.record_file).parent)
        else:
            made = prepare_restore(self.output_directory, self.world_size, self.checkpoint_directory)
            if made is None:
                return None
            folder = made
        given = read_restored(folder)
        return None if given is None else (folder, given)

    def _saved(self, step: int) -> Path:
        folder = self.output_directory if self.record_file is None else Path(self.record_file).parent
        return saved_part(folder, step, self.rank)

    @property
    def should_stop(self) -> bool:
        """Whether the rank was asked to end (SIGTERM). A script that uses this has to save and return when it is true.

        Before the first use, SIGTERM ends the process at once. Together with `should_save`, all ranks get the same
        answer after the same step. A script that returns after a yes counts as interrupted, not as finished. Use it in
        the main thread.
        """
        self._obey_sigterm()
        stop = self._schedule.stop if "_schedule" in self.__dict__ else self.asked_to_stop
        if stop and not self.interrupted and self.of_this_process:
            self.interrupted = True
            self.record(run_records.RankInterrupted())
        return stop

    def _obey_sigterm(self) -> None:
        if not self.obeys_sigterm:
            self.obeys_sigterm = True
            signal.signal(signal.SIGTERM, self._ask_to_stop)

    def _ask_to_stop(self, _signal: int, _frame: object) -> None:
        self.asked_to_stop = True

    def batches(
        self, batch_size: int, *, epochs: int = 1, split: str = "train", shuffle: bool = True, seed: int = 0
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """This rank's part of each batch of the job's dataset: inputs float32 (n, ...), labels int64 (n,).

        Each sample comes `epochs` times. `batch_size` counts all ranks together. Inputs are normalised by the training
        split's mean and deviation; an image (height, width) gets a channel. The order depends only on the seed and the
        epoch, not on the world size. After `restore`, the same call continues after the last batch before the save.
        Raises InvalidInput when the job has no dataset.
        """
        from headway.training.script_data import script_samples

        samples = script_samples(self.data_directory, split)
        name = json.dumps([batch_size, epochs, split, shuffle, seed])
        start = self._start_positions.pop(name, 0)
        batches = samples.epochs(
            epochs,
            seed=seed if shuffle else None,
            batch_size=batch_size,
            rank=self.rank,
            world_size=self.world_size,
            first_step=start,
        )
        return self._counted(((batch.inputs, batch.labels) for batch in batches), name, start)

    def _counted(self, batches: Iterator[Any], name: str, position: int) -> Iterator[Any]:
        """Count the batches that were handed out, for the next save."""
        for batch in batches:
            position += 1
            self._positions[name] = position
            yield batch
        self._positions.pop(name, None)

    def save_model(self, model: torch.nn.Module, **card: Any) -> None:
        """Store a model's weights as the job's model: safetensors, a plain state dict, and a card with the given
        values.

        Every rank may call it; only rank 0 writes. Parallel and compiled models are unwrapped, as in `save`.
        """
        if self.rank == 0:
            from headway.training.model_files import write_model

            write_model(model, {"job": self.job, "attempt": self.attempt, **card}, self.output_directory)


@cache
def run() -> Run:
    """The run of this process."""
    return Run.of_rank()
