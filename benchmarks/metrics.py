"""Metric points from a script's `run.log` into each database, against MLflow's tracking server, and through brokers.

The servers come from the environment. MLflow gets its own venv in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from psutil import Process

from headway.client import JobHandle
from tests.fleet import Fleet, free_port, wait_until
from tests.services import broker_for_processes, control, database_for_processes

MLFLOW = ("mlflow==3.17.2", "psycopg2-binary==2.9.11")
MLFLOW_SECONDS, MLFLOW_CLIENTS, MLFLOW_BATCH = 15.0, 2, 1000  # its maximum per request
METRICS = 50
SCRIPT = """
import sys, time, headway
steps = int(sys.argv[1])
run = headway.run()
names = [f"metric_{number:02d}" for number in range(50)]
print("began", time.time(), flush=True)
for step in range(steps):
    run.log(step, **dict.fromkeys(names, step * 0.5))
"""


def main() -> None:
    """Print points per second and ratios. Headway's time ends when all points are committed and the job has ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=60_000, help="Of 50 points each.")
    parser.add_argument("--rounds", type=int, default=2, help="Rounds of Headway and MLflow; the medians count.")
    arguments = parser.parse_args()
    result: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        mlflow = _mlflow_environment(Path(folder))
        for kind in ("sqlite", "postgresql"):
            ours, theirs = [], []
            for _ in range(arguments.rounds):
                ours.append(_headway(arguments.steps, database=kind)[0])
                theirs.append(_mlflow(mlflow, kind))
            our_median, their_median = sorted(ours)[len(ours) // 2], sorted(theirs)[len(theirs) // 2]
            result |= {f"{kind}_points_per_second": round(our_median), f"{kind}_mlflow": round(their_median)}
            result[f"{kind}_ratio_mlflow"] = round(our_median / their_median, 1)
    for kind, node in (("rabbitmq", "rabbitmq"), ("kafka", "kafka/1")):
        speed, exact = _headway(arguments.steps, reports=kind)
        result |= {f"{kind}_points_per_second": round(speed), f"{kind}_exact": exact}
        speed, exact = _headway(arguments.steps, reports=kind, kill=lambda node=node: _kill(node))
        result |= {f"{kind}_killed_points_per_second": round(speed), f"{kind}_killed_exact": exact}
    print(json.dumps({"benchmark": "metrics", "points": METRICS * arguments.steps, **result}, indent=2))


def _headway(
    steps: int, *, database: str = "sqlite", reports: str | None = None, kill: Callable[[], None] | None = None
) -> tuple[float, bool]:
    """Points per second of one job, and with a broker also whether each point is stored exactly once."""
    with (
        tempfile.TemporaryDirectory() as folder,
        database_for_processes(database, Path(folder)) as url,
        broker_for_processes(reports) if reports else nullcontext("embedded:") as reports_url,
        Fleet(Path(folder), database_url=url, reports_url=reports_url) as fleet,
    ):
        fleet.start_server()
        fleet.start_worker("one", slots=1)
        fleet.wait_for_workers(1)
        fleet.script("").wait(progress=False)  # the first one starts cold
        job = fleet.script(SCRIPT, str(steps))
        if kill is not None:
            wait_until(
                lambda: any(one["count"] > steps / 5 for one in job.metrics(points=2).series), "a fifth of the points"
            )
            kill()
        wait_until(lambda: job.refresh().status in ("succeeded", "failed"), "the end", 600)
        assert job.status == "succeeded", job.data
        began = next(float(line["text"].split()[1]) for line in job.logs())
        return METRICS * steps / (job.data["ended_at"] - began), reports is None or _exact(job, steps)


def _exact(job: JobHandle, steps: int) -> bool:
    """Whether each metric has each step once, in order."""
    for number in range(METRICS):
        (series,) = job.metrics([f"metric_{number:02d}"], points=100_000).series
        if series["steps"] != list(range(steps)):
            return False
    return True


def _kill(node: str) -> None:
    control("kill", node)
    time.sleep(1)
    control("start", node)


def _mlflow_environment(folder: Path) -> Path:
    """A Python with MLflow."""
    uv = str(Path(sys.executable).with_name("uv"))
    python = folder / "mlflow" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder / "mlflow")], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *MLFLOW], check=True)
    return python


def _mlflow(python: Path, kind: str) -> float:
    """Points per second of one worker of MLflow's server, over HTTP without the cost of its own client."""
    with tempfile.TemporaryDirectory() as folder, database_for_processes(kind, Path(folder)) as url:
        port = free_port()
        store = url if kind == "sqlite" else urlsplit(url)._replace(scheme="postgresql+psycopg2").geturl()
        command = [str(python), "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
        command += ["--backend-store-uri", store, "--artifacts-destination", f"{folder}/artifacts"]
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/2.0/mlflow", timeout=60) as client:
                wait_until(lambda: _answers(client), "MLflow's start", 120)
                body = {"experiment_id": "0", "start_time": 0}
                runs = [client.post("/runs/create", json=body).json()["run"]["info"]["run_id"] for _ in range(2)]
                with ThreadPoolExecutor(MLFLOW_CLIENTS) as pool:
                    return sum(pool.map(lambda run: _log_batches(client, run), runs))
        finally:
            for process in (*Process(server.pid).children(recursive=True), server):
                process.kill()
            server.wait()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/experiments/get", params={"experiment_id": "0"}).is_success
    except httpx.HTTPError:
        return False


def _log_batches(client: httpx.Client, run: str) -> float:
    began, points = time.perf_counter(), 0
    while time.perf_counter() - began < MLFLOW_SECONDS:
        first = points // METRICS
        metrics = [
            {"key": f"metric_{number:02d}", "value": step * 0.5, "timestamp": 1, "step": step}
            for step in range(first, first + MLFLOW_BATCH // METRICS)
            for number in range(METRICS)
        ]
        client.post("/runs/log-batch", json={"run_id": run, "metrics": metrics}).raise_for_status()
        points += MLFLOW_BATCH
    return points / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
