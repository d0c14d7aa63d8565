"""The invariants that the drill checks after every scenario."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from tempfile import TemporaryDirectory
from typing import Any

from headway.client import JobHandle

_EVENTS_SECONDS = 5.0
STEPS = 200
"""The default of training.py."""
TERMINAL = ("job.succeeded", "job.failed", "job.cancelled")


def broken_invariants(job: JobHandle, weights: str | None) -> list[str]:
    """The violated invariants, as sentences; empty if all hold. `weights`: the hash of the undisturbed run."""
    events = _settled_events(job)
    attempts = job.attempts()
    found = [*_events(events), *_attempts(attempts), *_metrics(job), *_lines(job)]
    if job.status != "succeeded":
        found.append(f"The job {job.status}: {job.data['sentence']}")
    elif weights is not None and weights_of(job) != weights:
        found.append("The weights differ from those of the undisturbed run.")
    try:
        with TemporaryDirectory() as folder:
            job.download_checkpoint(None, folder)
    except Exception as error:
        found.append(f"The newest checkpoint does not load: {error}")
    return found


def _settled_events(job: JobHandle) -> list[dict[str, Any]]:
    """All events. The last ones are copied a moment after the end."""
    deadline = time.monotonic() + _EVENTS_SECONDS
    while True:
        events = job.events()
        if any(event["type"] in TERMINAL for event in events) or time.monotonic() > deadline:
            return events
        time.sleep(0.05)


def weights_of(job: JobHandle) -> str:
    """The hash that rank 0 printed at its end."""
    lines = [line["text"] for line in job.logs() if line["rank"] == 0 and line["text"].startswith("weights ")]
    return lines[-1] if lines else "none"


def _events(events: list[dict[str, Any]]) -> list[str]:
    found = []
    numbers = [event["number"] for event in events]
    if numbers != list(range(1, len(numbers) + 1)):
        found.append("Events are missing or duplicated.")
    ends = [event["type"] for event in events if event["type"] in TERMINAL]
    if len(ends) != 1 or events[-1]["type"] not in (*TERMINAL, "attempt.settled"):
        found.append(f"The job has {len(ends)} ends: {', '.join(ends)}.")
    return found


def _attempts(attempts: list[dict[str, Any]]) -> list[str]:
    return [
        f"Attempt {after['number']} was placed before attempt {before['number']} had ended."
        for before, after in itertools.pairwise(attempts)
        if before["ended_at"] is None or after["placed_at"] < before["ended_at"]
    ]


def _metrics(job: JobHandle) -> list[str]:
    found = []
    for series in job.metrics(["train/loss"], points=100_000).series:
        if series["steps"] != list(range(1, STEPS + 1)):
            missing = sorted(set(range(1, STEPS + 1)) - set(series["steps"]))
            doubled = sorted(step for step, count in Counter(series["steps"]).items() if count > 1)
            which = f"missing: {missing[:10]}, duplicated: {doubled[:10]}"
            found.append(f"The metrics of rank {series['rank']} do not have each step once ({which}).")
    return found


def _lines(job: JobHandle) -> list[str]:
    """Each rank's lines of each attempt are numbered without a gap. The lines that count have each step once."""
    steps: dict[tuple[int, int], list[int]] = {}
    for line in job.logs():
        word, _, number = line["text"].partition(" ")
        if word == "step":
            steps.setdefault((line["attempt"], line["rank"]), []).append(int(number))
    return [
        f"Lines of rank {rank} in attempt {attempt} are lost or duplicated."
        for (attempt, rank), numbers in steps.items()
        if numbers != list(range(numbers[0], numbers[0] + len(numbers)))
    ]
