"""The time from the scheduler's decision to the worker's claim, over each broker of the environment."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import urljoin

from headway.backend_registry import backend
from headway.brokers.base import WorkerBroker
from headway.brokers.embedded import EmbeddedWorkerBroker
from headway.core.protocol import Registered, Registration
from headway.core.worker import WorkerDescription
from headway.worker.connection import Connection
from tests.fleet import Fleet
from tests.services import broker_url

ROUNDS = 60
SLOTS = 4096  # claimed jobs never run here, so each round uses one slot


def main() -> None:
    """Print medians and the slowest in milliseconds: until the worker is woken, and until its claim is answered."""
    result: dict[str, float] = {}
    for kind in ("embedded", "rabbitmq", "kafka"):
        woken, claimed = zip(*asyncio.run(_measure(kind)), strict=True)
        result[f"{kind}_woken_median_milliseconds"] = round(1000 * statistics.median(woken), 1)
        result[f"{kind}_median_milliseconds"] = round(1000 * statistics.median(claimed), 1)
        result[f"{kind}_slowest_milliseconds"] = round(1000 * max(claimed), 1)
    print(json.dumps({"benchmark": "dispatch", "rounds": ROUNDS, **result}, indent=2))


async def _measure(kind: str) -> list[tuple[float, float]]:
    if kind == "embedded":
        return await _over({})
    async with broker_url(kind) as url:
        return await _over({"broker_url": url})


async def _over(settings: dict[str, str]) -> list[tuple[float, float]]:
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder), lease_seconds=600, **settings) as fleet:
        await asyncio.to_thread(fleet.start_server)
        connection = Connection(fleet.url)
        token = (fleet.home / "worker.token").read_text().strip()
        description = WorkerDescription(name="one", slots=SLOTS, threads_per_slot=1, host="127.0.0.1", port=1)
        registered = await connection.register(Registration(worker=description), token)
        broker = _broker(fleet, registered)
        await broker.open()
        seconds = [await _round(fleet, broker, connection) for _ in range(ROUNDS)]
        await broker.close()
        await connection.close()
        return seconds


def _broker(fleet: Fleet, registered: Registered) -> WorkerBroker:
    if registered.assignments is None:
        url = urljoin(fleet.url.replace("http", "ws", 1), registered.broker)
        return EmbeddedWorkerBroker(url, registered.token)
    made: WorkerBroker = backend("worker_broker", registered.assignments)(registered.assignments, registered.id)
    return made


async def _round(fleet: Fleet, broker: WorkerBroker, connection: Connection) -> tuple[float, float]:
    job = await asyncio.to_thread(fleet.script, "")
    while (wakeup := await broker.wakeup()).job != job.id:
        pass  # all workers have claimed the previous assignment
    woken_at = time.time()
    await connection.claim(wakeup.job, wakeup.attempt, "127.0.0.1:1")
    claimed_at = time.time()
    placed_at: float = (await asyncio.to_thread(job.refresh)).data["attempt"]["placed_at"]
    return woken_at - placed_at, claimed_at - placed_at


if __name__ == "__main__":
    main()
