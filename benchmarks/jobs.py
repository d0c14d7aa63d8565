"""Submissions, and pages of 100,000 jobs, on SQLite and PostgreSQL (POSTGRES_URL)."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg

from headway.backend_registry import backend
from headway.client import Client
from headway.core.job import Job, JobSpec
from headway.core.status import JobStatus
from headway.database import tables
from headway.database.sql import SqlDatabase
from headway.database.sql_jobs import job_columns
from tests.fleet import Fleet
from tests.services import database_for_processes

JOBS, BATCH = 100_000, 2_000
SUBMISSIONS, CLIENTS = 1_000, 8
PAGES: dict[str, dict[str, Any]] = {
    "newest": {},
    "by_status_and_label": {"status": ["failed"], "label": ["team=team-3"]},
    "by_name": {"name": "-9999"},
    "best_of_a_dataset": {"dataset": "mnist", "sort": "accuracy"},
    "longest_of_a_status": {"status": ["succeeded"], "sort": "duration"},
    "rare_label_by_loss": {"label": ["rare=yes"], "sort": "loss", "order": "ascending"},
}
ROUNDS = 15


def main() -> None:
    """Print submissions per second, and medians per page in milliseconds, with the slowest page's."""
    result: dict[str, object] = {}
    for kind in ("sqlite", "postgresql"):
        with (
            tempfile.TemporaryDirectory() as folder,
            database_for_processes(kind, Path(folder)) as url,
            Fleet(Path(folder), database_url=url) as fleet,
        ):
            fleet.start_server()
            result[f"{kind}_submissions_per_second"] = round(_submissions_per_second(fleet))
            fleet.kill("server")
            asyncio.run(_fill(url))
            fleet.start_server()
            pages = _pages(fleet)
            result |= {f"{kind}_page_{name}_milliseconds": milliseconds for name, milliseconds in pages.items()}
            result[f"{kind}_slowest_page_milliseconds"] = max(pages.values())
    print(json.dumps({"benchmark": "jobs", "jobs": JOBS, **result}, indent=2))


def _submissions_per_second(fleet: Fleet) -> float:
    spec = {"script": "script.py", "source": "", "world_size": 64}

    def submit(count: int) -> None:
        with fleet.client() as client:
            for _ in range(count):
                client.submit(spec)

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(submit, [SUBMISSIONS // CLIENTS] * CLIENTS))
    return SUBMISSIONS / (time.perf_counter() - began)


async def _fill(url: str) -> None:
    database: SqlDatabase = backend("database", url)(url)
    await database.open()
    generator = random.Random(0)
    for first in range(0, JOBS, BATCH):
        rows = [_row(_job(number, generator)) for number in range(first, first + BATCH)]
        async with database._main(write=True) as connection:
            await connection.execute(tables.jobs.insert(), rows)
    await database.close()
    if url.startswith("postgresql"):  # PostgreSQL does this by itself some time after many insertions
        connection = await asyncpg.connect(url)
        await connection.execute("VACUUM ANALYZE jobs")
        await connection.close()


def _job(number: int, generator: random.Random) -> Job:
    status = generator.choices(
        [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.QUEUED], (70, 20, 9, 1)
    )[0]
    labels = {"team": f"team-{number % 10}", "rare": "yes" if number % 1000 == 7 else "no"}
    spec = JobSpec(trainer="cnn", dataset=generator.choice(("mnist", "digits")), labels=labels, world_size=5000)
    accuracy = generator.random()
    ended = status.terminal
    return Job(
        id=f"j-{number:012d}",
        project="default",
        name=f"run-{number}",
        idempotency_key=str(number),
        body_hash="",
        spec=spec,
        labels=labels,
        status=status,
        created_at=1.7e9 + number,
        ended_at=1.7e9 + number + generator.expovariate(0.01) if ended else None,
        result={"test": {"accuracy": accuracy, "loss": 1 - accuracy, "f1": accuracy}} if ended else None,
    )


def _row(job: Job) -> dict[str, Any]:
    fixed = {"id": job.id, "project": job.project, "name": job.name, "deleted": False, "priority": 0}
    return {**fixed, "idempotency_key": job.idempotency_key, "body_hash": job.body_hash, **job_columns(job)}


def _pages(fleet: Fleet) -> dict[str, float]:
    medians = {}
    with fleet.client() as client:
        client.jobs(limit=1)
        time.sleep(20)  # the server sweeps old streams and files once after its start
        for name, query in PAGES.items():
            medians[name] = round(1000 * statistics.median(_seconds(client, query) for _ in range(ROUNDS)), 1)
    return medians


def _seconds(client: Client, query: dict[str, Any]) -> float:
    began = time.perf_counter()
    answer = client._connection.request("GET", "/jobs", params={**query, "limit": 50})
    assert answer.json()["jobs"]
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
