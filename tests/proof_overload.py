"""No worker is declared lost wrongly in half an hour with all cores overloaded, at the default lease. Prints JSON."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

import headway
from headway.drill.fleet import DrillFleet

BUSY_PER_CORE = 4
SOURCE = (Path(headway.__file__).parent / "drill" / "training.py").read_text()


def main() -> None:
    """Train on two workers beside four busy processes per core. The exit status says whether one attempt was enough."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30)
    arguments = parser.parse_args()
    busy: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder, DrillFleet(Path(folder), {}) as fleet:
        fleet.start_server()
        for name in ("one", "two"):
            fleet.start_worker(name, 1)
        fleet.wait_for_workers(2)
        with fleet.client() as client:
            spec = {"script": "training.py", "source": SOURCE, "world_size": 2, "workers": 2}
            job = client.submit({**spec, "variables": {"STEPS": "1000000", "SAVE_STEPS": "1000"}})
            fleet.wait(lambda: job.metrics(["train/loss"]).series, "the first step")
            try:
                for _ in range(BUSY_PER_CORE * (psutil.cpu_count() or 1)):
                    busy.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
                time.sleep(60 * arguments.minutes)
                attempts, status = job.attempts(), job.refresh().status
                steps = max(one["steps"][-1] for one in job.metrics(["train/loss"]).series)
            finally:
                for process in busy:
                    process.kill()
                    process.wait()
            job.cancel(kill=True)
    found = {"minutes": arguments.minutes, "steps": steps, "attempts": len(attempts), "status": status}
    print(json.dumps({"proof": "overload", **found}, indent=2))
    sys.exit((len(attempts), status) != (1, "running"))


if __name__ == "__main__":
    main()
