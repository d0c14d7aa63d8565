"""A real server and real workers, as processes, for end-to-end and fault tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from headway.client import Client, JobHandle
from headway.errors import HeadwayError
from headway.rank_protocol.lifeline import die_with_parent

PATIENCE_SECONDS = 120.0


def wait_until(holds: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """Poll until `holds` returns a true value, and return it. Fail the test after `seconds`.

    It polls less often as time passes: polling takes time from the processes that it waits for.
    """
    began = time.monotonic()
    while True:
        value = holds()
        if value:
            return value
        waited_seconds = time.monotonic() - began
        assert waited_seconds < seconds, f"{what} did not happen within {seconds:g} s"
        time.sleep(min(0.02 + waited_seconds / 20, 0.2))


class Fleet:
    """Processes with files in one folder. Leaving the context ends them all. Commands run in `desk`."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.home = folder / "server"
        self.desk = folder / "desk"
        self.desk.mkdir()
        self.ports = {"server": free_port()}
        self.address = "127.0.0.1"
        self.settings = {f"HEADWAY_{name.upper()}": str(value) for name, value in settings.items()}
        self._clients: list[Client] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        for process in self.processes.values():
            process.kill()
            process.wait()

    @property
    def url(self) -> str:
        """The URL of the servers."""
        return ",".join(f"http://{self.address}:{port}" for port in self.ports.values())

    @property
    def port(self) -> int:
        """The port of the only server, or of the first."""
        return self.ports["server"]

    def start_server(self, name: str = "server", *, wait: bool = True) -> None:
        """Start or restart a server, and wait until it is ready."""
        port = self.ports.setdefault(name, free_port())
        place = ("--host", self.address, "--port", str(port), "--home", str(self.folder / name))
        trusted = () if self.address == "127.0.0.1" else ("--behind-proxy",)
        self._start(name, "server", *place, *trusted)
        if wait:
            wait_until(lambda: self._answers(name), "the server's start")

    def start_worker(self, name: str, slots: int, home: Path | None = None, through: tuple[str, ...] = ()) -> None:
        """Start a worker, by the command `through` if given."""
        token = str(self.home / "worker.token")
        folder = str(home or self.folder / name)
        self._start(
            name, "worker", "--server", self.url, "--token-file", token, "--name", name, "--slots", str(slots),
            "--home", folder, through=through,
        )  # fmt: skip

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one of our processes. After SIGKILL it has ended."""
        self.processes[name].send_signal(number)
        if number is signal.SIGKILL:
            self.processes[name].wait()

    def client(self) -> Client:
        return Client(url=self.url, home=self.home)

    def command(
        self, *arguments: str, timeout: float = PATIENCE_SECONDS, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line with this fleet."""
        environment = {**os.environ, "HEADWAY_HOME": str(self.home), "HEADWAY_SERVER_URL": self.url, **variables}
        return subprocess.run(
            [sys.executable, "-m", "headway", *arguments],
            env=environment, cwd=self.desk, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def script(self, source: str, *arguments: str, world_size: int = 1, **spec: Any) -> JobHandle:
        """Submit a script given as text."""
        body = {"script": "script.py", "source": source}
        return self._kept_client().submit({**body, "arguments": arguments, "world_size": world_size, **spec})

    def _kept_client(self) -> Client:
        if not self._clients:
            self._clients.append(self.client())
        return self._clients[0]

    def wait_for_workers(self, count: int) -> None:
        client = self._kept_client()
        wait_until(lambda: len(client.workers()) == count, f"the registration of {count} workers")

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def _start(self, name: str, *arguments: str, through: tuple[str, ...] = ()) -> None:
        leak = {"HEADWAY_TOKEN": "not-for-scripts"} if name not in self.ports else {}
        # Workers of tests have more slots than a machine may have accelerators.
        environment = {"CUDA_VISIBLE_DEVICES": "", **os.environ, **self.settings, **leak}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*through, sys.executable, "-m", "headway", *arguments], env=environment, stdout=log, stderr=log,
                preexec_fn=partial(die_with_parent, os.getpid()),  # even if the test run is interrupted
            )  # fmt: skip

    def _answers(self, name: str) -> bool:
        assert self.processes[name].poll() is None, self.log(name)
        with socket.socket() as probe:
            if probe.connect_ex((self.address, self.ports[name])) != 0:
                return False
        try:
            with Client(url=f"http://{self.address}:{self.ports[name]}", home=self.folder / name) as client:
                client.jobs(limit=1)
            return True
        except HeadwayError:
            return False


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def ended(job: JobHandle) -> JobHandle:
    """The job once it has a terminal status."""
    try:
        return wait_until(
            lambda: job if job.refresh().data["status"] in ("succeeded", "failed", "cancelled") else None,
            f"the end of job {job.name}",
        )
    except AssertionError as late:
        late.add_note(f"The job: {job.data}")
        late.add_note(f"Its newest events: {job.events()[-20:]}")
        raise


def has_checkpoint(job: JobHandle) -> bool:
    """Whether the job has a checkpoint to start from, not only one that is being saved."""
    return any(one["complete"] for one in job.checkpoints())
