"""The cost of checkpoints: throughput while saving, the pause of a step, resuming, and loading against torch.load."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from headway.client import JobHandle
from tests.fleet import Fleet, wait_until
from tests.random_kills import rank_pids

_SAMPLES, _BATCH = 51_200, 64
_EPOCH_STEPS = _SAMPLES // _BATCH


def main() -> None:
    """Print JSON: the relative throughput while saving, and ratios to a memory copy and to torch.load."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--state-bytes", type=int, default=1_000_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result: dict[str, Any] = _in_process(arguments.state_bytes, Path(folder))
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder)) as fleet:
        fleet.start_server()
        fleet.start_worker("one", slots=2)  # one rank has one core; server and worker share the other
        fleet.wait_for_workers(1)
        fleet.script("").refresh()
        result |= _throughput(fleet, arguments.rounds)
        result |= _resuming(fleet, 5)
    print(json.dumps({"benchmark": "checkpoint", **result}, indent=2))


def _throughput(fleet: Fleet, rounds: int) -> dict[str, object]:
    """The CNN saves every 100 steps. Compares the fifty steps with the save to the fifty without.

    Both are measured in one process, a tenth of a second or two apart, because whole runs differ by more than the
    effect of a save.
    """
    ratios: list[float] = []
    for _ in range(rounds):
        job = _cnn(fleet, every_steps=100, log_every_steps=50, epochs=2)
        with fleet.client() as client:
            (series,) = client.job(job.id).wait(progress=False).metrics(["train/loss"]).series
        at = dict(zip(series["steps"], series["times"], strict=True))
        ends_epoch = {number * _EPOCH_STEPS // 50 * 50 for number in (1, 2)}  # these fifty steps include a validation
        for step in range(100, 2 * _EPOCH_STEPS - 100, 100):
            if not ends_epoch & {step, step + 50}:
                ratios.append((at[step + 100] - at[step + 50]) / (at[step + 50] - at[step]))
    resampled = sorted(statistics.median(random.Random(seed).choices(ratios, k=len(ratios))) for seed in range(2000))
    return {
        "pairs": len(ratios),
        "ratio_without_checkpoints": round(statistics.median(ratios), 4),
        "ratio_without_checkpoints_interval_95": [round(resampled[50], 4), round(resampled[1949], 4)],
    }


def _cnn(fleet: Fleet, every_steps: int, **parameters: object) -> JobHandle:
    policy = {"every_steps": every_steps, "every_seconds": None, "epoch_end": False}
    body = {"dataset_size": _SAMPLES, "batch_size": _BATCH, **parameters}
    with fleet.client() as client:
        return client.submit({"trainer": "cnn", "dataset": "mnist", "parameters": body, "checkpoints": policy})


def _resuming(fleet: Fleet, rounds: int) -> dict[str, object]:
    """Kill a rank of the CNN: seconds from the kill, and from the next assignment, to the first new step."""
    from_kill, from_assignment = [], []
    for _ in range(rounds):
        job = _cnn(fleet, every_steps=50, epochs=100, log_every_steps=1)
        with fleet.client() as client:
            handle = client.job(job.id)
            wait_until(lambda handle=handle: handle.checkpoints(), "a checkpoint")
            (pid,) = rank_pids(fleet, handle, 1)
            killed_at = time.time()
            os.kill(pid, signal.SIGKILL)
            wait_until(
                lambda handle=handle: (
                    handle.refresh().data["attempt"]["number"] == 2 and "first_step" in handle.data["attempt"]["stages"]
                ),
                "the first new step",
            )
            attempt = handle.data["attempt"]
            assert attempt["restored_step"] >= 50
            from_kill.append(attempt["stages"]["first_step"] - killed_at)
            from_assignment.append(attempt["stages"]["first_step"] - attempt["placed_at"])
            handle.cancel(kill=True)
            wait_until(lambda handle=handle: handle.refresh().status == "cancelled", "the end")
    return {
        "assignment_to_first_new_step_seconds": round(statistics.median(from_assignment), 3),
        "kill_to_first_new_step_seconds": round(statistics.median(from_kill), 3),
    }


def _in_process(state_bytes: int, folder: Path) -> dict[str, object]:
    """How long `run.save` blocks against a plain copy, and how long `run.restore` takes against torch.load."""
    import torch

    from headway.training.run import Run

    run = Run({"HEADWAY_OUTPUT_DIRECTORY": str(folder)})
    count = 64
    state = {f"layer.{number}": torch.rand(state_bytes // 4 // count) for number in range(count)}
    blocked, copied = [], []
    for step in range(1, 6):
        began = time.perf_counter()
        copies = {name: tensor.clone() for name, tensor in state.items()}
        copied.append(time.perf_counter() - began)
        del copies
        began = time.perf_counter()
        run.save(state, step)
        blocked.append(time.perf_counter() - began)
        run._saver.wait()
    loaded, theirs = [], []
    target = {name: torch.empty_like(tensor) for name, tensor in state.items()}
    path = folder / "checkpoints" / "5" / "rank-0"
    for _ in range(5):
        for times, load in (
            (theirs, lambda: torch.load(path, weights_only=False)["state"]),
            (loaded, run.restore),
        ):
            began = time.perf_counter()
            for name, tensor in load().items():
                target[name].copy_(tensor)  # like load_state_dict
            times.append(time.perf_counter() - began)
    assert all(torch.equal(target[name], state[name]) for name in state)
    return {
        "state_bytes": state_bytes,
        "save_blocks_seconds": round(statistics.median(blocked), 3),
        "first_save_blocks_seconds": round(blocked[0], 3),
        "copy_seconds": round(statistics.median(copied), 3),
        "ratio_memory_copy": round(statistics.median(blocked) / statistics.median(copied), 3),
        "ratio_memory_copy_first_save": round(blocked[0] / copied[0], 3),
        "ratio_torch_load": round(statistics.median(theirs) / statistics.median(loaded), 2),
    }


if __name__ == "__main__":
    main()
