"""Trains a job whose ranks are killed at random moments, to compare it with an uninterrupted one."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from headway.client import Client, JobHandle
from tests.fleet import Fleet, wait_until

_PATIENCE_SECONDS = 300.0
_LONGEST_WAIT_SECONDS = 0.7


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job: the hash of its weights, its metric series, and the steps where it continued."""

    weights: str
    series: dict[str, list[tuple[int, float]]]
    kills: int = 0
    strikes_while_saving: int = 0
    steps: list[int | None] = field(default_factory=list)


def trainer_spec(
    trainer: str, world_size: int, precision: str, *, steps: int, every_steps: int, keep_newest: int = 3
) -> dict[str, Any]:
    """A training of a few seconds that saves often. `steps` are those of one rank."""
    parameters = {"max_steps": steps // world_size, "epochs": 10_000, "batch_size": 32, "precision": precision}
    return {
        "trainer": trainer,
        "dataset": "digits",
        "world_size": world_size,
        "parameters": {**parameters, "log_every_steps": 10},
        "checkpoints": {"every_steps": every_steps, "every_seconds": None, "keep_newest": keep_newest},
    }


def unbroken(client: Client, spec: dict[str, Any]) -> Outcome:
    """Train a job without faults."""
    return outcome(client.submit(spec).wait(progress=False))


def with_kills(fleet: Fleet, client: Client, spec: dict[str, Any], *, kills: int, generator: random.Random) -> Outcome:
    """Train the same job, and kill one of its ranks `kills` times: every second time while a rank saves."""
    job = client.submit({**spec, "retries": 100})
    done = while_saving = 0
    attempt = 0
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while done < kills:
        attempt = wait_until(lambda after=attempt: _training_attempt(job, after), "the next attempt's first step")
        if attempt < 0:
            break  # it was done before it could be killed so often
        if done % 2:
            while_saving += _await_saving(fleet, job, deadline)
        else:
            time.sleep(generator.uniform(0.0, _LONGEST_WAIT_SECONDS))
        done += _strike(fleet, job, attempt, generator)
    job.wait(progress=False)
    return outcome(job, done, while_saving)


def _training_attempt(job: JobHandle, after: int) -> int:
    """The number of an attempt that trains, newer than `after`; -1 once the job has ended."""
    attempt = job.refresh().data["attempt"]
    if job.status in ("succeeded", "failed", "cancelled"):
        return -1
    return int(attempt["number"]) if attempt and attempt["number"] > after and "first_step" in attempt["stages"] else 0


def _await_saving(fleet: Fleet, job: JobHandle, deadline: float) -> bool:
    """Wait until a rank is in the middle of writing a checkpoint."""
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):  # a folder went away while it was looked at
            if next(fleet.folder.glob(f"*/attempts/{job.id}.*/checkpoints/*/*.new"), None) is not None:
                return True
        time.sleep(0.0005)
    return False


def _strike(fleet: Fleet, job: JobHandle, attempt: int, generator: random.Random) -> bool:
    pids = rank_pids(fleet, job, attempt)
    if not pids:
        return False
    with suppress(ProcessLookupError):
        os.kill(generator.choice(pids), signal.SIGKILL)
        return True
    return False


def kill_a_rank(fleet: Fleet, job: JobHandle) -> None:
    """SIGKILL for the first rank of the job's attempt."""
    os.kill(rank_pids(fleet, job, job.refresh().data["attempt"]["number"])[0], signal.SIGKILL)


def rank_pids(fleet: Fleet, job: JobHandle, attempt: int) -> list[int]:
    """The processes of an attempt's ranks."""
    pids = []
    for path in fleet.folder.glob(f"*/attempts/{job.id}.{attempt}.*"):
        with suppress(OSError, ValueError):
            known = list(json.loads((path / "processes.json").read_text()))
            pids += [int(pid) for pid in known[1:] if psutil.pid_exists(int(pid))]  # the first is the launcher
    return sorted(pids)


def outcome(job: JobHandle, kills: int = 0, while_saving: int = 0) -> Outcome:
    with TemporaryDirectory() as folder:
        (path,) = job.download("model.safetensors", folder)
        weights = hashlib.sha256(_tensors(path)).hexdigest()
    series = {
        one["name"]: list(zip(one["steps"], one["values"], strict=True))
        for one in job.metrics(points=100_000).series
        if one["rank"] == 0
    }
    steps = [one["restored_step"] for one in job.attempts()]
    return Outcome(weights, series, kills, while_saving, steps)


def _tensors(path: Path) -> bytes:
    """The bytes of all weights, without the file's header, which names the job."""
    content = path.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]
