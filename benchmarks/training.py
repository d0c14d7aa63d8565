"""Throughput: the built-in CNN against the PyTorch example's loop, and one loop under Headway against torchrun."""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from headway.client import JobHandle
from tests.fleet import Fleet, wait_until

LOOP = Path(__file__).with_name("loop.py")
MNIST = Path(__file__).parent.parent / "examples" / "data" / "mnist"


def main() -> None:
    """Print samples per second of both loops, the ratio of paired runs with its interval, and the CPU share."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder)) as fleet:
        fleet.start_server()
        fleet.start_worker("one", slots=1)  # one rank with all cores, like a plain script
        fleet.wait_for_workers(1)
        fleet.script("").refresh()
        result = {**_against_dataloader(Path(folder), fleet, arguments.rounds), **_overhead(fleet, arguments.pairs)}
    print(json.dumps({"benchmark": "training", **result}, indent=2))


def _against_dataloader(folder: Path, fleet: Fleet, rounds: int) -> dict[str, object]:
    """Both train the same model on 12,800 samples for two epochs on all cores, in alternating rounds.

    Headway runs with its default precision, which is bf16 if the processor supports it, and with fp32 like the example.
    """
    for path in MNIST.glob("*.gz"):
        raw = folder / "mnist" / "MNIST" / "raw" / path.stem
        raw.parent.mkdir(parents=True, exist_ok=True)
        raw.write_bytes(gzip.decompress(path.read_bytes()))
    ours: dict[str, list[float]] = {"auto": [], "fp32": []}
    theirs: list[float] = []
    accuracies: dict[str, list[float]] = {"auto": [], "fp32": [], "dataloader": []}
    command = [sys.executable, "-m", "benchmarks.example_loop", str(folder / "mnist")]
    for seed in range(rounds):
        with fleet.client() as client:
            for precision, speeds in ours.items():
                parameters = {"dataset_size": 12_800, "epochs": 2, "batch_size": 64, "seed": seed}
                job = client.train("cnn", dataset="mnist", precision=precision, **parameters).wait()
                speeds.append(_samples_per_second(job))
                accuracies[precision].append(job.result["test"]["accuracy"])
        answer = json.loads(subprocess.run([*command, str(seed)], check=True, capture_output=True, text=True).stdout)
        theirs.append(answer["samples_per_second"])
        accuracies["dataloader"].append(answer["accuracy"])
    medians = {f"headway_{name}": round(statistics.median(speeds)) for name, speeds in ours.items()}
    return {
        "samples_per_second": {**medians, "dataloader": round(statistics.median(theirs))},
        "accuracy": {name: round(statistics.median(values), 4) for name, values in accuracies.items()},
        "ratio_dataloader": _ratio(ours["auto"], theirs),
        "ratio_dataloader_fp32": _ratio(ours["fp32"], theirs),
    }


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 2)


def _samples_per_second(job: JobHandle) -> float:
    """Computed from the times of the logged steps, separately per epoch, because a validation is between epochs."""
    (series,) = job.metrics(["train/loss"]).series
    at = dict(zip(series["steps"], series["times"], strict=True))
    steps_per_epoch = 12_800 // 64
    spans = [(epoch * steps_per_epoch + 10, (epoch + 1) * steps_per_epoch) for epoch in range(2)]
    return sum(last - first for first, last in spans) * 64 / sum(at[last] - at[first] for first, last in spans)


def _overhead(fleet: Fleet, pairs: int) -> dict[str, object]:
    """The same script, first step to last: torchrun's time divided by Headway's, in pairs whose order alternates."""
    ratios: list[float] = []
    shares: list[float] = []
    for pair in range(pairs):
        if pair % 2:
            theirs = _loop_under_torchrun(fleet.folder)
            ours, share = _loop_under_headway(fleet)
        else:
            ours, share = _loop_under_headway(fleet)
            theirs = _loop_under_torchrun(fleet.folder)
        ratios.append(theirs / ours)
        shares.append(share)
    generator = random.Random(0)
    resampled = sorted(statistics.median(generator.choices(ratios, k=pairs)) for _ in range(2000))
    return {
        "pairs": pairs,
        "ratio_torchrun": round(statistics.median(ratios), 4),
        "ratio_torchrun_interval_95": [round(resampled[50], 4), round(resampled[1949], 4)],
        "server_and_worker_share_of_rank_cpu": round(statistics.median(shares), 4),
    }


def _loop_under_torchrun(folder: Path) -> float:
    marker = folder / "times.json"
    marker.unlink(missing_ok=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    subprocess.run([*command, str(LOOP), str(marker)], check=True, capture_output=True)
    times = json.loads(marker.read_text())
    return times["last_step"] - times["first_step"]


def _loop_under_headway(fleet: Fleet) -> tuple[float, float]:
    marker = fleet.folder / "times.json"
    marker.unlink(missing_ok=True)
    platform = [psutil.Process(fleet.processes[name].pid) for name in ("server", "one")]
    with fleet.client() as client:
        client.run_script(LOOP, [str(marker)], workdir=LOOP.parent)
        started = marker.with_suffix(".started")
        wait_until(started.exists, "the first step")
        before = [sum(process.cpu_times()[:2]) for process in platform]
        while not marker.exists():
            time.sleep(0.1)
        after = [sum(process.cpu_times()[:2]) for process in platform]
        started.unlink()
    times = json.loads(marker.read_text())
    return times["last_step"] - times["first_step"], (sum(after) - sum(before)) / times["cpu_seconds"]


if __name__ == "__main__":
    main()
