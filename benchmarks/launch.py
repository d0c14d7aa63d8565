"""From submission to the end of the first optimizer step, 2 ranks: a warm worker against torchrun, alternating."""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from headway.client import Client
from tests.fleet import Fleet

SCRIPT = Path(__file__).with_name("first_step.py")
RAY_SCRIPT = Path(__file__).with_name("first_step_ray.py")


def main() -> None:
    """Print medians in seconds, and how many times faster Headway is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ray", action="store_true", help="Ray Train as well; it must be installed.")
    arguments = parser.parse_args()
    if arguments.ray and importlib.util.find_spec("ray") is None:
        sys.exit("Ray is not installed: pip install 'ray[train]'.")
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder)) as fleet:
        fleet.start_server()
        fleet.start_worker("one", slots=2)
        fleet.wait_for_workers(1)
        marker = Path(folder) / "first_step"
        with fleet.client() as client:
            client.run_script(SCRIPT, [str(marker)], workdir=SCRIPT.parent, world_size=2).wait()  # warm
            sides: dict[str, Callable[[], None]] = {
                "headway": lambda: _headway(client, marker),
                "torchrun": lambda: _torchrun(marker),
            }
            if arguments.ray:
                sides["ray"] = lambda: _ray(marker)
            seconds: dict[str, list[float]] = {name: [] for name in sides}
            for _ in range(arguments.rounds):
                for name, start in sides.items():
                    seconds[name].append(_measure(start, marker))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    result = {f"{name}_seconds": round(median, 3) for name, median in medians.items()}
    result |= {"headway_slowest_seconds": round(max(seconds["headway"]), 3), "rounds": arguments.rounds}
    others = [name for name in medians if name != "headway"]
    result |= {f"ratio_{name}": round(medians[name] / medians["headway"], 1) for name in others}
    print(json.dumps({"benchmark": "launch", **result}, indent=2))


def _measure(start: Callable[[], None], marker: Path) -> float:
    marker.unlink(missing_ok=True)
    began = time.time()
    start()
    return float(marker.read_text()) - began


def _headway(client: Client, marker: Path) -> None:
    client.run_script(SCRIPT, [str(marker)], workdir=SCRIPT.parent, world_size=2).wait()


def _torchrun(marker: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*command, str(SCRIPT), str(marker)], check=True, capture_output=True)


def _ray(marker: Path) -> None:
    subprocess.run([sys.executable, str(RAY_SCRIPT), str(marker)], check=True, capture_output=True)


if __name__ == "__main__":
    main()
