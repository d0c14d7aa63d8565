"""Following jobs: from `run.log` to a follower, and a thousand followers of one job, with what they cost the server."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from tests.fleet import Fleet

LOGGED = 100
FOLLOWERS = 1000
LINES = 1000
ROWS = 500
LOG_SCRIPT = f"""
import headway, time
run = headway.run()
time.sleep(3)
for step in range({LOGGED}):
    run.log(step, sent=time.time())
    time.sleep(0.2)
"""
PRINT_SCRIPT = f"""
import os, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.1)
for number in range({LINES}):
    print(time.time(), flush=True)
    time.sleep(0.02)
time.sleep(5)
"""


@dataclass
class Connected:
    """How many followers are connected; a few connect at a time."""

    turns: asyncio.Semaphore
    count: int = 0


def main() -> None:
    """Print seconds at the median and the 99th percentile, cores, and kilobytes per follower."""
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder)) as fleet:
        fleet.start_server()
        fleet.start_worker("one", slots=1)
        fleet.wait_for_workers(1)
        result = {
            "benchmark": "live",
            **_log_to_follower(fleet),
            **asyncio.run(_many_followers(fleet)),
            **_list_of_rows(fleet),
        }
    print(json.dumps(result, indent=2))


def _log_to_follower(fleet: Fleet) -> dict[str, float]:
    with fleet.client() as client:
        job = client.submit({"script": "script.py", "source": LOG_SCRIPT})
        delays = []
        for message in job.follow("metrics"):
            received = time.time()
            for series in message.data.get("series", ()):
                delays += [received - value for value in series["values"]]
    assert len(delays) == LOGGED
    return _quantiles("log_to_follower", delays)


async def _many_followers(fleet: Fleet) -> dict[str, float]:
    process = psutil.Process(fleet.processes["server"].pid)
    with fleet.client() as client:
        start = fleet.folder / "start"
        job = client.submit({"script": "script.py", "source": PRINT_SCRIPT, "arguments": [str(start)]})
    before = process.memory_info().rss
    delays: list[float] = []
    connected = Connected(asyncio.Semaphore(50))
    following = [asyncio.create_task(_follow(fleet, job.id, delays, connected)) for _ in range(FOLLOWERS)]
    while connected.count < FOLLOWERS:
        await asyncio.sleep(0.1)
    start.touch()
    while not delays:
        await asyncio.sleep(0.1)
    cpu, began = sum(process.cpu_times()[:2]), time.monotonic()
    during = before
    while time.monotonic() - began < LINES * 0.02:
        await asyncio.sleep(0.5)
        during = max(during, process.memory_info().rss)
    cores = (sum(process.cpu_times()[:2]) - cpu) / (time.monotonic() - began)
    lines = await asyncio.gather(*following)
    await asyncio.sleep(5)
    assert set(lines) == {LINES}, "each follower gets each line once"
    return {
        "followers": FOLLOWERS,
        "lines_per_second": 50,
        **_quantiles("line_to_follower", delays),
        "server_cores": round(cores, 2),
        "kilobytes_per_follower": round((during - before) / FOLLOWERS / 1e3, 1),
        "kilobytes_left_per_follower": round((process.memory_info().rss - before) / FOLLOWERS / 1e3, 1),
    }


async def _follow(fleet: Fleet, job: str, delays: list[float], connected: Connected) -> int:
    """Follow by a plain socket: parsing by a client library would cost more than the server does."""
    token = (fleet.home / "user.token").read_text().strip()
    address = urlsplit(fleet.url)
    async with connected.turns:
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 22)
        head = (
            f"GET /api/v1/jobs/{job}/follow?include=logs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        writer.write(head.encode())
        assert b" 200 " in await reader.readuntil(b"\r\n")
        connected.count += 1
    lines = 0
    while line := await reader.readline():
        if line.startswith(b"data: "):
            received = time.time()
            frame: dict[str, Any] = json.loads(line[6:])
            if frame["kind"] == "end":
                break
            delays += [received - float(one["text"]) for one in frame["lines"]]
            lines += len(frame["lines"])
    writer.close()
    return lines


def _list_of_rows(fleet: Fleet) -> dict[str, float]:
    """The size of a list of 500 waiting jobs, as JSON and as sent, and the time until it is read."""
    with fleet.client() as client:
        for number in range(ROWS):
            spec = {"script": "script.py", "source": "x" * 2_000, "world_size": 2, "name": f"waiting-{number}"}
            client.submit(spec)
        seconds = []
        for _ in range(10):
            began = time.perf_counter()
            answer = client._connection.http.get("/jobs", params={"limit": ROWS})
            seconds.append(time.perf_counter() - began)
            assert len(answer.json()["jobs"]) == ROWS
    return {
        "list_rows": ROWS,
        "list_median_seconds": round(statistics.median(seconds), 4),
        "list_kilobytes": round(len(answer.content) / 1e3, 1),
        "list_kilobytes_sent": round(answer.num_bytes_downloaded / 1e3, 1),
    }


def _quantiles(name: str, delays: list[float]) -> dict[str, float]:
    return {
        f"{name}_median_seconds": round(statistics.median(delays), 3),
        f"{name}_p99_seconds": round(statistics.quantiles(delays, n=100)[98], 3),
    }


if __name__ == "__main__":
    main()
