"""The server and the command line: start, memory, help, submissions, and metric points during API requests."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

from tests.fleet import Fleet, wait_until

SUBMISSIONS = 1000
POINTS_PER_STEP = 20
METRICS_SCRIPT = """
import headway, time
run = headway.run()
values = {f"metric_{number}": 0.5 for number in range(20)}
began = time.perf_counter()
for step in range(16_500):
    run.log(step, **values)
    ahead = began + (step + 1) / 1100 - time.perf_counter()  # 1,100 steps, 22,000 points a second
    if ahead > 0:
        time.sleep(ahead)
"""


def main() -> None:
    """Print each figure in its unit. Interpreter start-up is measured too, because some figures include it."""
    result: dict[str, float] = {"python_start_seconds": _command_seconds([sys.executable, "-c", "pass"])}
    result["help_seconds"] = _command_seconds([sys.executable, "-m", "headway", "--help"])
    result["ratio_help_to_python_start"] = round(result["help_seconds"] / result["python_start_seconds"], 1)
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder)) as fleet:
        starts = []
        for _ in range(5):
            if "server" in fleet.processes:
                fleet.kill("server")
            began = time.perf_counter()
            fleet.start_server(wait=False)
            wait_until(lambda: _is_ready(fleet.url), "the server's start")
            starts.append(time.perf_counter() - began)
        result["server_start_seconds"] = round(statistics.median(starts), 2)
        time.sleep(2)
        memory = psutil.Process(fleet.processes["server"].pid).memory_info().rss
        result["server_idle_megabytes"] = round(memory / 1e6, 1)
        with fleet.client() as client:
            script = {"script": "script.py", "source": "", "world_size": 64}
            began = time.perf_counter()
            jobs = [client.submit(script) for _ in range(SUBMISSIONS)]
            result["submissions_1000_seconds"] = round(time.perf_counter() - began, 2)
            result["submissions_each_once"] = len({job.id for job in jobs}) == SUBMISSIONS
        result |= _metrics(fleet)
    print(json.dumps({"benchmark": "server", **result}, indent=2))


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def _metrics(fleet: Fleet) -> dict[str, float]:
    fleet.start_worker("one", slots=1)
    fleet.wait_for_workers(1)
    job = fleet.script(METRICS_SCRIPT, priority=1)
    wait_until(lambda: job.refresh().status == "running", "the job's start")
    latencies = []
    with fleet.client() as client:
        while job.refresh().status == "running":
            began = time.perf_counter()
            client.jobs(limit=20)
            latencies.append(time.perf_counter() - began)
            time.sleep(0.05)
    wait_until(lambda: job.refresh().status == "succeeded", "the job's end")
    series = job.metrics(points=2).series
    points = sum(one["count"] for one in series)
    attempt = job.data["attempt"]
    return {
        "metric_points_stored": points,
        "metric_points_per_second": round(points / (attempt["ended_at"] - attempt["started_at"])),
        "api_median_milliseconds": round(1000 * statistics.median(latencies), 1),
        "api_slowest_milliseconds": round(1000 * max(latencies), 1),
    }


def _command_seconds(command: list[str]) -> float:
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return round(statistics.median(seconds), 3)


if __name__ == "__main__":
    main()
