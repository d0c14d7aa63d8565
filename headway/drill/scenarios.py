"""What the drill does to a training, a function per scenario. Each returns when it struck, in epoch seconds."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from headway.client import JobHandle
from headway.drill.fleet import DrillFleet
from headway.drill.proxy import Proxy
from headway.errors import Unavailable

_AT_STEP = 70


@dataclass(frozen=True)
class Stage:
    """Where a scenario plays: a job runs on workers `one` and `two`, of which `two` is behind the proxy."""

    fleet: DrillFleet
    proxy: Proxy


@dataclass(frozen=True)
class Scenario:
    """`strike` is called once the job trains; None: the script does it to itself, by `trouble`."""

    name: str
    strike: Callable[[Stage, JobHandle], float] | None
    attempts: int = 2
    trouble: str = ""
    save_steps: int = 20
    spec: dict[str, Any] = field(default_factory=dict)
    fails: bool = False


def _await_step(stage: Stage, job: JobHandle, step: int = _AT_STEP) -> None:
    stage.fleet.wait(lambda: any(one["steps"][-1] >= step for one in job.metrics(["train/loss"])), f"step {step}")


def _rank_pids(stage: Stage, job: JobHandle, worker: str) -> list[int]:
    number = job.refresh().data["attempt"]["number"]
    for path in (stage.fleet.folder / worker / "attempts").glob(f"{job.id}.{number}.*/processes.json"):
        return [int(pid) for pid in list(json.loads(path.read_text()))[1:] if psutil.pid_exists(int(pid))]
    return []


def _one_rank(stage: Stage, job: JobHandle, worker: str) -> int:
    pids = _rank_pids(stage, job, worker)
    if not pids:
        raise Unavailable(f"Job {job.name} has no rank on worker {worker} any more, so none could be killed.")
    return pids[0]


def rank_killed(stage: Stage, job: JobHandle) -> float:
    """SIGKILL for a rank, as the kernel does when memory runs out."""
    _await_step(stage, job)
    os.kill(_one_rank(stage, job, "two"), signal.SIGKILL)
    return time.time()


def rank_killed_while_saving(stage: Stage, job: JobHandle) -> float:
    """SIGKILL for rank 0 in the middle of writing a checkpoint."""
    _await_step(stage, job, 30)
    pid = _one_rank(stage, job, "one")
    pattern = f"one/attempts/{job.id}.*/checkpoints/*/*.new"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            if next(stage.fleet.folder.glob(pattern), None) is not None:
                break
    os.kill(pid, signal.SIGKILL)
    return time.time()


def worker_killed(stage: Stage, job: JobHandle) -> float:
    """SIGKILL for a worker; it is started again half a second later."""
    _await_step(stage, job)
    stage.fleet.kill("two")
    at = time.time()
    time.sleep(0.5)
    stage.fleet.start_worker("two", 1, stage.proxy.url)
    return at


def worker_stopped_and_continued(stage: Stage, job: JobHandle) -> float:
    """A zombie: SIGSTOP past the lease, then SIGCONT."""
    _await_step(stage, job)
    stage.fleet.processes["two"].send_signal(signal.SIGSTOP)
    at = time.time()
    stage.fleet.wait(lambda: job.refresh().data["attempt"]["reason"] == "worker_lost", "the loss of the worker")
    stage.fleet.processes["two"].send_signal(signal.SIGCONT)
    return at


def _network_cut(stage: Stage, job: JobHandle, *, up: bool, down: bool) -> float:
    _await_step(stage, job)
    stage.proxy.cut_up, stage.proxy.cut_down = up, down
    at = time.time()
    stage.fleet.wait(lambda: job.refresh().data["attempt"]["reason"] == "worker_lost", "the loss of the worker")
    stage.proxy.cut_up = stage.proxy.cut_down = False
    return at


def network_cut(stage: Stage, job: JobHandle) -> float:
    """Nothing passes between a worker and the server for longer than the lease, then all does again."""
    return _network_cut(stage, job, up=True, down=True)


def network_cut_one_way(stage: Stage, job: JobHandle) -> float:
    """The worker's messages arrive, the answers do not."""
    return _network_cut(stage, job, up=False, down=True)


def network_cut_briefly(stage: Stage, job: JobHandle) -> float:
    """A cut shorter than the lease: nothing may come of it."""
    _await_step(stage, job)
    stage.proxy.cut_up = stage.proxy.cut_down = True
    at = time.time()
    time.sleep(1.0)
    stage.proxy.cut_up = stage.proxy.cut_down = False
    return at


def _restart_server(stage: Stage, away_seconds: float = 0.0) -> float:
    stage.fleet.kill("server")
    at = time.time()
    time.sleep(away_seconds)
    stage.fleet.start_server()
    return at


def server_killed(stage: Stage, job: JobHandle) -> float:
    """SIGKILL for the server in training; it is started again at once."""
    _await_step(stage, job)
    return _restart_server(stage)


def server_killed_while_committing(stage: Stage, job: JobHandle) -> float:
    """SIGKILL for the server when a checkpoint's part has just been stored."""
    _await_step(stage, job, 30)
    folder = stage.fleet.home / "objects" / "checkpoints" / job.id
    known = len(list(folder.rglob("c-*")))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and len(list(folder.rglob("c-*"))) <= known:
        time.sleep(0.0005)
    return _restart_server(stage)


def server_killed_at_the_end(stage: Stage, job: JobHandle) -> float:
    """SIGKILL for the server while the last steps are done; it comes back when the ranks have ended."""
    _await_step(stage, job, 285)
    return _restart_server(stage, away_seconds=2.0)


def newest_checkpoint_damaged(stage: Stage, job: JobHandle) -> float:
    """The bytes of the newest checkpoint are changed, then a rank is killed: the one before must be used."""
    stage.fleet.wait(lambda: len(job.checkpoints()) == 2, "two checkpoints")  # the third comes a second later
    newest = job.checkpoints()[-1]
    for path in (stage.fleet.home / "objects" / "checkpoints" / job.id / "1" / str(newest["step"])).glob("c-*"):
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.kill(_one_rank(stage, job, "two"), signal.SIGKILL)
    return time.time()


SCENARIOS = (
    Scenario("rank killed", rank_killed),
    Scenario("rank killed while saving", rank_killed_while_saving),
    Scenario("rank crashes (SIGSEGV)", None, attempts=1, trouble="SIGSEGV", fails=True),
    Scenario("rank raises", None, trouble="exception"),
    Scenario("rank hangs", None, trouble="hang", spec={"stall_seconds": 2}),
    Scenario("worker killed", worker_killed),
    Scenario("worker silent, then back", worker_stopped_and_continued),
    Scenario("network cut", network_cut),
    Scenario("network cut one way", network_cut_one_way),
    Scenario("network cut briefly", network_cut_briefly, attempts=1),
    Scenario("server killed", server_killed, attempts=1),
    Scenario("server killed while committing", server_killed_while_committing, attempts=1),
    Scenario("server killed at the end", server_killed_at_the_end, attempts=1),
    Scenario("newest checkpoint damaged", newest_checkpoint_damaged, attempts=3, save_steps=100),
)
"""A crash is the user's to mend, so that scenario expects a failure with its cause; all others expect success."""
