"""The faults that the drill injects, a function per scenario. Each returns the time of the fault, in epoch seconds."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from headway.client import JobHandle
from headway.drill.checks import STEPS
from headway.drill.fleet import DrillFleet
from headway.drill.proxy import Proxy
from headway.errors import Unavailable

_AT_STEP = 70
_FULL_SECONDS = 3.0
_SUBMISSIONS, _IN_SUBMISSION_SECONDS = 8, 0.02
_TRIES, _RETRY_SECONDS = 60, 0.5


@dataclass(frozen=True)
class Stage:
    """The environment of a scenario: a job runs on workers `one` and `two`; worker `two` is behind the proxy."""

    fleet: DrillFleet
    proxy: Proxy


@dataclass(frozen=True)
class Scenario:
    """`inject` is called once the job trains; None: the script itself causes the fault, as `trouble` says.

    `attempts`: the expected number, None if it is random. `fails`: the reason with which the job must fail. `possible`:
    returns why the scenario cannot run on this machine, or None.
    """

    name: str
    inject: Callable[[Stage, JobHandle], float] | None
    attempts: int | None = 2
    trouble: str = ""
    save_steps: int = 20
    spec: dict[str, Any] = field(default_factory=dict)
    fails: str = ""
    possible: Callable[[], str | None] = lambda: None


def _await_step(stage: Stage, job: JobHandle, step: int = _AT_STEP) -> None:
    stage.fleet.wait(
        lambda: any(one["steps"][-1] >= step for one in job.metrics(["train/loss"]).series), f"step {step}"
    )


def _await_loss(stage: Stage, job: JobHandle) -> None:
    """Looks at all attempts, because the next one may already be placed."""
    lost = "the loss of the worker"
    stage.fleet.wait(lambda: any(one["reason"] == "worker_lost" for one in job.attempts()), lost)


def _rank_pids(stage: Stage, job: JobHandle, worker: str) -> list[int]:
    number = job.refresh().data["attempt"]["number"]
    for path in (stage.fleet.folder / worker / "attempts").glob(f"{job.id}.{number}.*/processes.json"):
        return [int(pid) for pid in list(json.loads(path.read_text()))[1:] if psutil.pid_exists(int(pid))]
    return []


def _one_rank(stage: Stage, job: JobHandle, worker: str) -> int:
    pids = _rank_pids(stage, job, worker)
    if not pids:
        raise Unavailable(f"Job {job.name} has no rank on worker {worker} any more, so the drill could not kill one.")
    return pids[0]


def rank_killed(stage: Stage, job: JobHandle) -> float:
    """SIGKILL for a rank, as the kernel sends it when memory runs out."""
    _await_step(stage, job)
    os.kill(_one_rank(stage, job, "two"), signal.SIGKILL)
    return time.time()


def rank_killed_while_saving(stage: Stage, job: JobHandle) -> float:
    """SIGKILL for rank 0 while it writes a checkpoint."""
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
    """SIGKILL for a worker. It is started again half a second later."""
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
    _await_loss(stage, job)
    stage.fleet.processes["two"].send_signal(signal.SIGCONT)
    return at


def _network_cut(stage: Stage, job: JobHandle, *, up: bool, down: bool) -> float:
    _await_step(stage, job)
    stage.proxy.cut_up, stage.proxy.cut_down = up, down
    at = time.time()
    _await_loss(stage, job)
    stage.proxy.cut_up = stage.proxy.cut_down = False
    return at


def network_cut(stage: Stage, job: JobHandle) -> float:
    """The network between a worker and the server is cut for longer than the lease, then restored."""
    return _network_cut(stage, job, up=True, down=True)


def network_cut_one_way(stage: Stage, job: JobHandle) -> float:
    """The worker's messages arrive, but the answers are lost."""
    return _network_cut(stage, job, up=False, down=True)


def network_cut_briefly(stage: Stage, job: JobHandle) -> float:
    """A cut shorter than the lease. It must have no effect."""
    _await_step(stage, job)
    stage.proxy.cut_up = stage.proxy.cut_down = True
    at = time.time()
    time.sleep(1.0)
    stage.proxy.cut_up = stage.proxy.cut_down = False
    return at


def _full_disk(stage: Stage, job: JobHandle, process: str) -> float:
    """For a few seconds a process cannot write to any file, as on a full disk."""
    _await_step(stage, job)
    victim = psutil.Process(stage.fleet.processes[process].pid)
    former = victim.rlimit(psutil.RLIMIT_FSIZE)
    at = time.time()
    victim.rlimit(psutil.RLIMIT_FSIZE, (0, former[1]))
    time.sleep(_FULL_SECONDS)
    victim.rlimit(psutil.RLIMIT_FSIZE, former)
    return at


def full_disk_of_worker(stage: Stage, job: JobHandle) -> float:
    """The worker cannot spool reports for some seconds."""
    return _full_disk(stage, job, "two")


def full_disk_of_server(stage: Stage, job: JobHandle) -> float:
    """The server cannot write its database for some seconds."""
    return _full_disk(stage, job, "server")


def hostile_broker(stage: Stage, job: JobHandle) -> float:
    """The broker loses, duplicates, delays and reorders messages until shortly before the job's end."""
    _await_step(stage, job, 20)
    switch = stage.fleet.folder / "broker"
    at = time.time()
    switch.touch()
    try:
        _await_step(stage, job, STEPS - 20)
    finally:
        switch.unlink()
    return at


def clock_jumps(stage: Stage, job: JobHandle) -> float:
    """The server's wall clock is set forward by an hour, then back by two."""
    clock = stage.fleet.folder / "clock"
    _await_step(stage, job)
    at = time.time()
    try:
        for seconds, step in ((3600, 110), (-3600, 150)):
            clock.write_text(str(seconds))
            _await_step(stage, job, step)
    finally:
        clock.unlink()
    return at


def server_killed_in_submission(stage: Stage, job: JobHandle) -> float:
    """SIGKILL for the server during submissions. Each submission is sent again until it is answered."""
    _await_step(stage, job)
    source = "import time; time.sleep(0.1)"
    wave = job.id.removeprefix("j-")
    with stage.fleet.client() as client, ThreadPoolExecutor(_SUBMISSIONS) as pool:

        def submit(n: int) -> str:
            spec = {"script": "small.py", "source": source, "labels": {"wave": wave}}
            for _ in range(_TRIES):
                with suppress(Unavailable):
                    return client.submit(spec, idempotency_key=f"{wave}-{n}").id
                time.sleep(_RETRY_SECONDS)
            raise Unavailable("A submission was never answered.")

        submitted = [pool.submit(submit, n) for n in range(_SUBMISSIONS)]
        time.sleep(_IN_SUBMISSION_SECONDS)
        at = _restart_server(stage)
        ids = sorted(one.result() for one in submitted)

        def done() -> bool:
            return all(one.status == "succeeded" for one in client.jobs(labels={"wave": wave}))

        stage.fleet.wait(done, "the end of the jobs that were submitted")
        if sorted(one.id for one in client.jobs(labels={"wave": wave})) != ids:
            raise Unavailable("A submission was lost or accepted twice.")
    return at


def _restart_server(stage: Stage, away_seconds: float = 0.0) -> float:
    stage.fleet.kill("server")
    at = time.time()
    time.sleep(away_seconds)
    stage.fleet.start_server()
    return at


def server_killed(stage: Stage, job: JobHandle) -> float:
    """SIGKILL for the server during training. It is started again two seconds later."""
    _await_step(stage, job)
    return _restart_server(stage, away_seconds=2.0)


def server_killed_while_committing(stage: Stage, job: JobHandle) -> float:
    """SIGKILL for the server just after a checkpoint's part was stored."""
    _await_step(stage, job, 30)
    folder = stage.fleet.home / "objects" / "checkpoints" / job.id
    known = len(list(folder.rglob("c-*")))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and len(list(folder.rglob("c-*"))) <= known:
        time.sleep(0.0005)
    return _restart_server(stage)


def server_killed_at_the_end(stage: Stage, job: JobHandle) -> float:
    """SIGKILL for the server during the last steps. It is started again when the ranks have ended."""
    _await_step(stage, job, STEPS - 15)
    return _restart_server(stage, away_seconds=2.0)


def newest_checkpoint_damaged(stage: Stage, job: JobHandle) -> float:
    """The newest checkpoint's bytes are changed, then a rank is killed: the previous checkpoint must be used."""
    stage.fleet.wait(lambda: len(job.checkpoints()) == 2, "two checkpoints")  # the third comes a second later
    newest = job.checkpoints()[-1]
    for path in (stage.fleet.home / "objects" / "checkpoints" / job.id / "1" / str(newest["step"])).glob("c-*"):
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.kill(_one_rank(stage, job, "two"), signal.SIGKILL)
    return time.time()


def _needs_limits() -> str | None:
    return None if hasattr(psutil, "RLIMIT_FSIZE") else "this system cannot limit the files of a running process"


SCENARIOS = (
    Scenario("rank killed", rank_killed),
    Scenario("rank killed while saving", rank_killed_while_saving),
    Scenario("rank crashes (SIGSEGV)", None, attempts=1, trouble="SIGSEGV", fails="rank_crashed"),
    Scenario("rank raises", None, trouble="exception"),
    Scenario(
        "rank out of memory", None, attempts=1, trouble="memory", fails="out_of_memory", spec={"memory_bytes": 1 << 30}
    ),
    Scenario("rank hangs", None, trouble="hang", spec={"stall_seconds": 2}),
    Scenario("worker killed", worker_killed),
    Scenario("worker silent, then back", worker_stopped_and_continued),
    Scenario("network cut", network_cut),
    Scenario("network cut one way", network_cut_one_way),
    Scenario("network cut briefly", network_cut_briefly, attempts=1),
    Scenario("server killed", server_killed, attempts=1),
    Scenario("server killed in submission", server_killed_in_submission, attempts=1),
    Scenario("server killed while committing", server_killed_while_committing, attempts=1),
    Scenario("server killed at the end", server_killed_at_the_end, attempts=1),
    Scenario("full disk on a worker", full_disk_of_worker, attempts=1, possible=_needs_limits),
    Scenario("full disk on the server", full_disk_of_server, attempts=1, possible=_needs_limits),
    Scenario("newest checkpoint damaged", newest_checkpoint_damaged, attempts=3, save_steps=60),
    Scenario("hostile broker", hostile_broker, attempts=1),
    Scenario("clock jumps", clock_jumps, attempts=1),
)
"""A crash is an error in the job, so its scenario expects a failure with that cause. All others expect success."""
