"""A rank is killed: seconds to the next attempt's first step, under Headway and under torchrun --max-restarts."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.fleet import Fleet, ended, wait_until

SCRIPT = Path(__file__).with_name("restart_loop.py")


def main() -> None:
    """Print medians in seconds, and how many times sooner Headway trains again."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    seconds: dict[str, list[float]] = {"headway": [], "torchrun": []}
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder)) as fleet:
        fleet.start_server()
        fleet.start_worker("one", slots=2)
        fleet.wait_for_workers(1)
        marks = Path(folder) / "marks"
        for _ in range(arguments.rounds):
            seconds["headway"].append(_restart(lambda: _headway(fleet, marks), marks))
            seconds["torchrun"].append(_restart(lambda: _torchrun(marks), marks))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    result: dict[str, object] = {f"{name}_seconds": round(median, 3) for name, median in medians.items()}
    result["ratio_torchrun"] = round(medians["torchrun"] / medians["headway"], 1)
    print(json.dumps({"benchmark": "restart", "rounds": arguments.rounds, **result}, indent=2))


def _restart(start: Callable[[], Callable[[], object]], marks: Path) -> float:
    """From SIGKILL for rank 1 to the end of the first step of both ranks' next start."""
    shutil.rmtree(marks, ignore_errors=True)
    marks.mkdir()
    finish = start()
    wait_until(lambda: all((marks / f"start-0-{rank}").exists() for rank in (0, 1)), "the first step")
    time.sleep(1.0)
    pid = int((marks / "start-0-1").read_text().split()[0])
    killed_at = time.time()
    os.kill(pid, signal.SIGKILL)
    again = [marks / f"start-1-{rank}" for rank in (0, 1)]
    wait_until(lambda: all(path.exists() for path in again), "the first step of the next start")
    finish()
    return max(float(path.read_text().split()[1]) for path in again) - killed_at


def _headway(fleet: Fleet, marks: Path) -> Callable[[], object]:
    with fleet.client() as client:
        job = client.run_script(SCRIPT, [str(marks)], workdir=SCRIPT.parent, world_size=2)

    def finish() -> object:
        with fleet.client() as client:
            return ended(client.job(job.id))

    return finish


def _torchrun(marks: Path) -> Callable[[], object]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = subprocess.Popen(
        [*command, "--max-restarts", "1", str(SCRIPT), str(marks)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return process.wait


if __name__ == "__main__":
    main()
