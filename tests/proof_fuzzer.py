"""Injects random faults for ten minutes: kills a rank, a worker or the server every 2 to 10 seconds, during 20 jobs.

Workers are also stopped past their lease and cut off from the server. Every job has to succeed, and each invariant of
the drill has to hold for it. Prints JSON; the exit status says whether all did. `--sets` runs it on each set of
backends that users run, whose servers come from the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import psutil

import headway
from headway.client import JobHandle
from headway.drill.checks import broken_invariants, weights_of
from headway.drill.fleet import DrillFleet
from headway.drill.proxy import Proxy
from headway.errors import HeadwayError
from tests.services import SETS, settings_of_set

LEASE_SECONDS = 3.0
WORKERS = ("one", "two", "three")
SOURCE = (Path(headway.__file__).parent / "drill" / "training.py").read_text()
SPEC = {"script": "training.py", "source": SOURCE, "world_size": 2, "retries": 100}
ENDING_SECONDS = 900.0
SPOOL_SECONDS = 60.0


class Fuzzer:
    """A fleet, and faults to inject."""

    def __init__(self, fleet: DrillFleet, proxy: Proxy, seed: int) -> None:
        self.fleet = fleet
        self.proxy = proxy
        self.random = random.Random(seed)
        self.faults: Counter[str] = Counter()

    def inject_fault(self) -> None:
        """Inject a random fault."""
        kinds: dict[str, Callable[[], None]] = {
            "rank killed": self._kill_rank,
            "worker killed": self._kill_worker,
            "worker silent": self._stop_worker,
            "server killed": self._kill_server,
            "network cut": self._cut,
        }
        kind = self.random.choices(list(kinds), (8, 4, 1, 3, 1))[0]
        kinds[kind]()
        self.faults[kind] += 1

    def _kill_rank(self) -> None:
        processes = [path for path in self.fleet.folder.glob("*/attempts/*/processes.json") if path.exists()]
        ranks: list[int] = []
        for path in processes:
            with suppress(OSError, ValueError):
                ranks += [int(pid) for pid in list(json.loads(path.read_text()))[1:] if psutil.pid_exists(int(pid))]
        if ranks:
            with suppress(ProcessLookupError):
                os.kill(self.random.choice(ranks), signal.SIGKILL)

    def _kill_worker(self) -> None:
        name = self.random.choice(WORKERS)
        self.fleet.kill(name)
        time.sleep(self.random.uniform(0, 1))
        self.start_worker(name)

    def start_worker(self, name: str) -> None:
        """Start a worker; the third is behind the proxy."""
        self.fleet.start_worker(name, 2, self.proxy.url if name == WORKERS[-1] else None)

    def _stop_worker(self) -> None:
        process = self.fleet.processes[self.random.choice(WORKERS)]
        process.send_signal(signal.SIGSTOP)
        time.sleep(LEASE_SECONDS + 2)
        process.send_signal(signal.SIGCONT)

    def _kill_server(self) -> None:
        self.fleet.kill("server")
        time.sleep(self.random.uniform(0, 2))
        self.fleet.start_server()

    def _cut(self) -> None:
        self.proxy.cut_up, self.proxy.cut_down = self.random.choice([(True, True), (True, False), (False, True)])
        time.sleep(self.random.uniform(0.5, LEASE_SECONDS + 2))
        self.proxy.cut_up = self.proxy.cut_down = False


def fuzz(fleet: DrillFleet, minutes: float, jobs: int, seed: int) -> dict[str, object]:
    """Keep `jobs` jobs in the fleet and inject faults for `minutes`. Then all have to end. Returns the findings."""
    proxy = Proxy(fleet.port)
    fuzzer = Fuzzer(fleet, proxy, seed)
    fleet.start_server()
    for name in WORKERS:
        fuzzer.start_worker(name)
    fleet.wait_for_workers(len(WORKERS))
    broken: dict[str, list[str]] = {}
    suspects: list[JobHandle] = []
    attempts: list[int] = []
    with fleet.client() as client:
        alone = client.submit(SPEC)
        alone.wait(progress=False)
        weights = weights_of(alone)
        running = [client.submit(SPEC) for _ in range(jobs)]
        deadline = time.monotonic() + 60 * minutes
        while running:
            if time.monotonic() < deadline:
                time.sleep(fuzzer.random.uniform(2, 10))
                fuzzer.inject_fault()
            elif time.monotonic() > deadline + ENDING_SECONDS:
                broken |= {job.name: [f"It did not end: {job.data['sentence']}"] for job in running}
                break
            else:
                time.sleep(1)
            for job in [job for job in running if _ended(job)]:
                running.remove(job)
                attempts.append(len(job.attempts()))
                if broken_invariants(job, weights):
                    suspects.append(job)
                if time.monotonic() < deadline:
                    running.append(client.submit(SPEC))
        # Reports of an ended attempt come when their worker is back; the next attempt does not wait for them.
        deadline = time.monotonic() + SPOOL_SECONDS
        while any(broken_invariants(job, weights) for job in suspects) and time.monotonic() < deadline:
            time.sleep(1)
        for job in suspects:
            found = broken_invariants(job, weights)
            if found:
                broken[job.name] = [*found, *_history(job)]
    proxy.close()
    return {
        "seed": seed,
        "minutes": minutes,
        "jobs": len(attempts),
        "attempts": sum(attempts),
        "late": len(suspects) - len(broken),
        "faults": dict(fuzzer.faults),
        "broken": broken,
    }


def _history(job: JobHandle) -> list[str]:
    """A summary of each attempt, to find out what went wrong."""
    lines = []
    for attempt in job.attempts():
        logged = {one["rank"]: one["steps"] for one in job.metrics(["train/loss"], attempt=attempt["number"]).series}
        spans = {rank: (steps[0], steps[-1], len(steps)) for rank, steps in logged.items()}
        workers = [one["worker_name"] for one in attempt["assignments"]]
        facts = f"restored {attempt['restored_step']}, {attempt['reason']}, on {workers}, logged {spans}"
        lines.append(f"attempt {attempt['number']}: {facts}, warnings {attempt['warnings']}")
    return lines


def _ended(job: JobHandle) -> bool:
    with suppress(HeadwayError):  # the server may be down
        return job.refresh().status in ("succeeded", "failed", "cancelled")
    return False


def main() -> None:
    """Fuzz and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--sets", action="store_true", help="Use each set of backends instead of the embedded ones.")
    arguments = parser.parse_args()
    broken = False
    for name in SETS if arguments.sets else ["embedded"]:
        with (
            tempfile.TemporaryDirectory() as folder,
            settings_of_set(name, Path(folder)) if arguments.sets else nullcontext({}) as backends,
            DrillFleet(Path(folder), _variables(backends)) as fleet,
        ):
            found = fuzz(fleet, arguments.minutes, arguments.jobs, arguments.seed)
        print(json.dumps({"proof": "fuzzer", "backends": name, **found}, indent=2), flush=True)
        broken = broken or bool(found["broken"])
    sys.exit(broken)


def _variables(backends: dict[str, str]) -> dict[str, str]:
    settings = {"lease_seconds": str(LEASE_SECONDS), "heartbeat_seconds": "0.7", **backends}
    return {f"HEADWAY_{name.upper()}": value for name, value in settings.items()}


if __name__ == "__main__":
    main()
