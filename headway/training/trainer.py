"""The loop of the built-in trainers: train, evaluate, store the model. It is short enough to read in one sitting."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import headway
from headway.core.data_order import steps_per_epoch
from headway.core.dataset import Dataset
from headway.core.parameters import TrainerParameters, parse_parameters
from headway.core.size import counted
from headway.rank_protocol.plan import Plan
from headway.training.evaluation import evaluate
from headway.training.loader import Batch, Samples, SplitReader, split_validation
from headway.training.model_files import write_model
from headway.training.run import Run
from headway.training.training_state import TrainingState, seed_dropout

TRAINERS = {"mlp": "mlp:Mlp", "lstm": "lstm:Lstm", "cnn": "cnn:Cnn"}
_EVALUATION_BATCH = 1000
_WARM_UP_SHARE = 0.25


def train(plan: Plan, run: Run) -> None:
    """Train the job's model on this rank's part of the data. Rank 0 stores it in the output directory.

    Raises ValueError when the parameters do not fit the dataset.
    """
    if plan.trainer is None or plan.data is None:
        raise ValueError("The plan has no trainer, or no dataset for it.")
    dataset = Dataset.model_validate(plan.dataset)
    parameters = parse_parameters(plan.trainer, plan.parameters)
    device = _device(run)
    if run.world_size > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    training, validation = split_validation(
        SplitReader(dataset, "train", plan.data, device),
        fraction=parameters.validation_fraction,
        dataset_size=parameters.dataset_size,
        seed=parameters.seed,
    )
    test_reader = SplitReader(dataset, "test", plan.data, device)

    torch.manual_seed(parameters.seed)  # the same weights on every rank
    model = build_model(plan.trainer, dataset, parameters).to(device).to(memory_format=torch.channels_last)
    seed_dropout(parameters.seed, run.rank)  # but different dropout

    if not fit(model, training, validation, parameters, run, classes=dataset.classes):
        return

    result = {
        split: evaluate(model, _share(samples, run), classes=dataset.classes, device=device)
        for split, samples in (("validation", validation), ("test", _all(test_reader)))
    }
    if run.rank == 0:
        run.reached("evaluated")
        test = result["test"]
        print(f"Test: loss {test['loss']:.4f}, accuracy {test['accuracy']:.2%}, {test['samples']:,} samples.")
        _store(model, plan, dataset, parameters, result, run)


def fit(
    model: nn.Module,
    training: Samples,
    validation: Samples,
    parameters: TrainerParameters,
    run: Run,
    *,
    classes: int,
) -> bool:
    """Train `model` in place, from the run's checkpoint if there is one; with DDP if there are several ranks.

    Uses AdamW and a one-cycle learning rate. Returns False if the ranks were asked to end before they were done.
    """
    device = next(model.parameters()).device
    epoch_steps = steps_per_epoch(len(training.indices), parameters.batch_size)
    total_steps = min(parameters.epochs * epoch_steps, parameters.max_steps or parameters.epochs * epoch_steps)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=parameters.learning_rate, weight_decay=parameters.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, parameters.learning_rate, total_steps=total_steps, pct_start=_WARM_UP_SHARE
    )
    precision = _precision(parameters.precision, device)
    ranks_model = model
    if run.world_size > 1:
        ranks_model = DistributedDataParallel(model, gradient_as_bucket_view=True)
        with precision:
            run.warm_up(ranks_model, training.reader.read(training.indices[:1])[0])
    totals = torch.zeros(3, dtype=torch.float64, device=device)  # loss, correct answers, samples since the last log
    state = TrainingState(model, optimizer, schedule, totals, parameters.seed)
    if run.rank == 0:
        run.reached("data_ready", total_steps)

    first = state.restore(run, total_steps)
    if run.rank == 0:
        print(f"Training with {counted(run.world_size, 'rank')} on {device}, from step {first:,} to {total_steps:,}.")
    for step, batch in enumerate(_batches(training, parameters, run, first, total_steps), first + 1):
        with precision:
            logits = ranks_model(batch.inputs)
            loss = nn.functional.cross_entropy(logits, batch.labels)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss * batch.weight)
        optimizer.step()
        schedule.step()
        _add(totals, batch, loss, logits)
        if step == first + 1 and run.rank == 0:
            run.reached("first_step")
        if step % parameters.log_every_steps == 0 or step == total_steps:
            _log_training(totals, step, (step - 1) // epoch_steps, float(schedule.get_last_lr()[0]), run)
        epoch_ends = step % epoch_steps == 0 or step == total_steps
        if epoch_ends:
            figures = evaluate(model, _share(validation, run), classes=classes, device=device)
            _log_validation(figures, step, epoch_steps, total_steps, run)
        if run.should_save(step, epoch_end=epoch_ends):
            state.save(run, step)
        if run.should_stop and step < total_steps:
            return False
    if run.rank == 0:
        run.reached("trained")
    return True


def build_model(trainer: str, dataset: Dataset, parameters: TrainerParameters) -> nn.Module:
    """The trainer's model, with fresh weights."""
    module, _, name = TRAINERS[trainer].partition(":")
    model: nn.Module = getattr(import_module(f"headway.training.trainers.{module}"), name)(dataset, parameters)
    return model


def load_all() -> None:
    """Import every trainer, so that forks need not."""
    for target in TRAINERS.values():
        import_module(f"headway.training.trainers.{target.partition(':')[0]}")


def _device(run: Run) -> torch.device:
    if torch.cuda.is_available():
        torch.cuda.set_device(run.local_rank)
        return torch.device("cuda", run.local_rank)
    return torch.device("cpu")


def _precision(name: str, device: torch.device) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 if requested, or with `auto` if the device supports it natively."""
    if name == "fp32" or (name == "auto" and not _fast_bfloat16(device)):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def _fast_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    flags = Path("/proc/cpuinfo")
    return flags.exists() and any(flag in flags.read_text() for flag in (" avx512_bf16", " amx_bf16"))


def _batches(
    training: Samples, parameters: TrainerParameters, run: Run, first: int, total_steps: int
) -> Iterator[Batch]:
    """This rank's part of each step's batch, after step `first` and up to step `total_steps`."""
    batches = training.epochs(
        parameters.epochs,
        seed=parameters.seed,
        batch_size=parameters.batch_size,
        rank=run.rank,
        world_size=run.world_size,
        first_step=first,
    )
    return islice(batches, total_steps - first)


def _share(samples: Samples, run: Run) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return samples.share(batch_size=_EVALUATION_BATCH, rank=run.rank, world_size=run.world_size)


def _all(reader: SplitReader) -> Samples:
    import numpy as np

    return Samples(reader, np.arange(reader.sample_count))


def _add(totals: torch.Tensor, batch: Batch, loss: torch.Tensor, logits: torch.Tensor) -> None:
    """Add a step to the totals without waiting for the device. A part of weight 0 does not count."""
    if batch.weight > 0:
        count = len(batch.labels)
        totals[0].add_(loss.detach(), alpha=count)
        totals[1].add_((logits.detach().argmax(dim=1) == batch.labels).sum())
        totals[2].add_(count)


def _log_training(totals: torch.Tensor, step: int, epoch: int, learning_rate: float, run: Run) -> None:
    if run.world_size > 1:
        dist.all_reduce(totals)
    if run.rank == 0:
        loss_sum, right, count = totals.tolist()
        values = {"train/loss": loss_sum / count, "train/accuracy": right / count}
        run.log(step, **values, **{"train/learning_rate": learning_rate, "train/epoch": epoch + 1})
    totals.zero_()


def _log_validation(figures: dict[str, Any], step: int, epoch_steps: int, total_steps: int, run: Run) -> None:
    if run.rank == 0:
        run.log(step, **{f"validation/{name}": figures[name] for name in ("loss", "accuracy", "f1")})
        epoch, epochs = -(-step // epoch_steps), -(-total_steps // epoch_steps)
        words = f"validation loss {figures['loss']:.4f}, accuracy {figures['accuracy']:.2%}"
        print(f"Epoch {epoch} of {epochs}, step {step:,} of {total_steps:,}: {words}")


def _store(
    model: nn.Module,
    plan: Plan,
    dataset: Dataset,
    parameters: TrainerParameters,
    result: dict[str, Any],
    run: Run,
) -> None:
    card = {
        "job": plan.job,
        "name": plan.job_name,
        "trainer": plan.trainer,
        "parameters": parameters.model_dump(),
        "dataset": {"name": dataset.name, "classes": dataset.classes, "sample_shape": list(dataset.sample_shape)},
        "input": {"mean": dataset.mean, "deviation": dataset.deviation},
        "result": result,
        "world_size": run.world_size,
        "attempt": run.attempt,
        "made_at": time.time(),
        "made_with": {"headway": headway.__version__, "torch": torch.__version__, "python": platform.python_version()},
    }
    write_model(model, card, run.output_directory)
    run.finish(**result)
