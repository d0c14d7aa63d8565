"""Thirty mixed jobs: built-in, script, failing, cancelled, killed. All end, no process stays, memory does not grow."""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from pathlib import Path

import psutil

from headway.client import JobHandle
from tests.fleet import Fleet, ended, wait_until

WANTED = {
    "trainer": "succeeded",
    "script": "succeeded",
    "fails": "failed",
    "cancelled": "cancelled",
    "killed": "succeeded",
}
KILLED = """
import os, signal, time
time.sleep(0.5)
if os.environ["HEADWAY_ATTEMPT"] == "1":
    os.kill(os.getpid(), signal.SIGKILL)
"""
GROWTH_ALLOWED = 1.10


def main() -> None:
    """Print the statuses of the jobs, and the memory before and after. The exit status is 0 if all goals hold."""
    kinds = [kind for kind in WANTED for _ in range(6)]
    random.Random(0).shuffle(kinds)
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder)) as fleet:
        fleet.start_server()
        fleet.start_worker("one", slots=2)
        fleet.wait_for_workers(1)
        for kind in WANTED:  # imports and caches of the first use happen before the measurement
            ended(_submit(fleet, kind))
        before = _memory(fleet)
        jobs = [(kind, _submit(fleet, kind)) for kind in kinds]
        statuses = [(kind, ended(job).status) for kind, job in jobs]
        strays = wait_until(lambda: _strays(fleet) == 0, "the end of all ranks", seconds=10)
        time.sleep(3)
        after = _memory(fleet)
    wrong = [(kind, status) for kind, status in statuses if status != WANTED[kind]]
    growth = {name: round(after[name] / before[name], 3) for name in before}
    print(json.dumps({"benchmark": "soak", "jobs": len(jobs), "wrong": wrong, "memory_growth": growth}, indent=2))
    sys.exit(bool(wrong) or not strays or max(growth.values()) > GROWTH_ALLOWED)


def _submit(fleet: Fleet, kind: str) -> JobHandle:
    match kind:
        case "trainer":
            return fleet.client().train("mlp", dataset="digits", world_size=2, epochs=2)
        case "script":
            return fleet.script("for n in range(2000): print(n)", world_size=2)
        case "fails":
            return fleet.script("raise ValueError('as planned')", world_size=2)
        case "killed":
            return fleet.script(KILLED, world_size=2)
        case _:
            job = fleet.script("import time; time.sleep(600)")
            return job.cancel()


def _memory(fleet: Fleet) -> dict[str, int]:
    return {name: psutil.Process(process.pid).memory_info().rss for name, process in fleet.processes.items()}


def _strays(fleet: Fleet) -> int:
    """Processes below the worker, without its forkserver."""
    return len(psutil.Process(fleet.processes["one"].pid).children(recursive=True)) - 1


if __name__ == "__main__":
    main()
