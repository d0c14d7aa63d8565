"""Test accuracy of the defaults on full MNIST, and of the demo's settings over five seeds."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from tests.fleet import Fleet

WANTED = {"mlp": 0.977, "lstm": 0.979, "cnn": 0.989}
DEMO = {"dataset_size": 20_000, "epochs": 2, "batch_size": 64}
DEMO_WANTED = 0.98


def main() -> None:
    """Print each accuracy. The exit status is 0 if all goals are reached."""
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder)) as fleet:
        fleet.start_server()
        fleet.start_worker("one", slots=2)
        fleet.wait_for_workers(1)
        with fleet.client() as client:
            demo = [client.train("cnn", dataset="mnist", world_size=2, seed=seed, **DEMO) for seed in range(5)]
            full = {trainer: client.train(trainer, dataset="mnist", world_size=2) for trainer in WANTED}
            demo_accuracies = [job.wait().result["test"]["accuracy"] for job in demo]
            accuracies = {name: job.wait().result["test"]["accuracy"] for name, job in full.items()}
    median = statistics.median(demo_accuracies)
    result = {"demo_median": median, "demo": demo_accuracies, **accuracies, "wanted": {**WANTED, "demo": DEMO_WANTED}}
    print(json.dumps({"benchmark": "accuracy", **result}, indent=2))
    reached = median >= DEMO_WANTED and all(accuracies[name] >= WANTED[name] for name in WANTED)
    sys.exit(not reached)


if __name__ == "__main__":
    main()
