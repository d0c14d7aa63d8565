"""A fleet of real processes in its own folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headway.client import Client
from headway.errors import HeadwayError, Unavailable

_START_SECONDS = 60.0
_LOOK_SECONDS = 0.02


class DrillFleet:
    """A server and workers with their own ports. They end with it. Entering it starts nothing."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.home = folder / "server"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.server_away_until = 0.0
        own = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
        # Machines may have fewer accelerators than it has ranks, and it compares weights to the last bit.
        self._environment = {**own, **settings, "CUDA_VISIBLE_DEVICES": ""}

    def __enter__(self) -> DrillFleet:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def client(self) -> Client:
        """A client of the fleet's server."""
        return Client(url=self.url, home=self.home)

    def start_server(self) -> None:
        """Start or restart the server, and wait until it answers."""
        self.server_away_until = time.time()
        self._start("server", "headway.drill.hostile_server", str(self.folder), str(self.port), str(self.home))
        self.wait(self._answers, "the server's start")

    def start_worker(self, name: str, slots: int, server_url: str | None = None) -> None:
        """Start a worker, which connects to another address if one is given."""
        token = str(self.home / "worker.token")
        home = str(self.folder / name)
        options = ("--server", server_url or self.url, "--token-file", token, "--slots", str(slots))
        self._start(name, "headway", "worker", *options, "--name", name, "--home", home)

    def wait_for_workers(self, count: int) -> None:
        """Wait until this many workers are registered."""
        with self.client() as client:
            self.wait(lambda: len(client.workers()) == count, f"{count} workers")

    def kill(self, name: str) -> None:
        """SIGKILL a process of the fleet."""
        self.processes[name].kill()
        self.processes[name].wait()

    def wait(self, holds: Callable[[], Any], what: str, seconds: float = _START_SECONDS) -> Any:
        """Wait until the condition holds and return its value. Raises Unavailable after `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = holds()
            if value:
                return value
            time.sleep(_LOOK_SECONDS)
        raise Unavailable(f"The drill waited {seconds:g} s for {what}, without success.")

    def _start(self, name: str, module: str, *arguments: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-P", "-m", module, *arguments]
            self.processes[name] = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def _answers(self) -> bool:
        if self.processes["server"].poll() is not None:
            raise Unavailable(f"The drill's server did not start; see {self.folder / 'server.log'}.")
        try:
            with self.client() as client:
                client.jobs(limit=1)
            return True
        except HeadwayError:
            return False
