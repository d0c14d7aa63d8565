"""`headway up`: its output in the terminal, and how it stops."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from headway.client import Client
from tests.fleet import wait_until

_WITHOUT_TORCH = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torch" else find_spec(name, *rest)
from headway.cli.main import main
main(sys.argv[1:])
"""


class Up:
    """A running `headway up` and what it has printed."""

    def __init__(self, process: subprocess.Popen[str], home: Path) -> None:
        self.process = process
        self.home = home
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines += iter(self.process.stdout.readline, "")

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def stop(self) -> int:
        """Ctrl-C; the exit status."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(60)
        self._reader.join(60)
        return status


@contextmanager
def up(home: Path, *program: str) -> Iterator[Up]:
    command = [
        sys.executable,
        *(program or ("-m", "headway")),
        "up",
        "--port",
        "0",
        "--slots",
        "1",
        "--home",
        str(home),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        try:
            yield Up(process, home)
        finally:
            process.kill()


def test_it_prints_a_banner_and_stops_while_a_job_is_followed(tmp_path: Path) -> None:
    """Given a job that a client follows, when Ctrl-C comes, then everything ends without a traceback."""
    with up(tmp_path / "home") as started:
        wait_until(lambda: "Stop with Ctrl-C." in started.text, "the worker's registration")
        url = (started.home / "server.url").read_text().strip()
        assert f"is ready at {url}" in started.text
        assert "1 slot\n" in started.text
        assert f"{url}/enter?code=" in started.text
        with Client(url, (started.home / "user.token").read_text().strip()) as client:
            job = client.submit({"command": ["sh", "-c", "echo begun; sleep 600"]})
            stream = client._connection.http.stream("GET", f"/jobs/{job.id}/follow")
            with stream as answer:
                content = answer.iter_text()
                while "begun" not in next(content):
                    pass
                assert started.stop() == 0
                assert "event: end" not in "".join(content), "the job has not ended; the client may come back"
    assert started.text.endswith("Stopped.\n")
    assert not [word for word in ("Traceback", "INFO", "ERROR", "lost") if word in started.text], started.text
    log = started.home / "headway.log"
    assert "registered with 1 slot." in log.read_text()
    assert not [word for word in ("Traceback", "ERROR") if word in log.read_text()]
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_without_torch_it_says_once_what_is_missing(tmp_path: Path) -> None:
    with up(tmp_path / "home", "-c", _WITHOUT_TORCH) as started:
        wait_until(lambda: "pip install 'headway[torch]'" in started.text, "the message about PyTorch")
        url = (started.home / "server.url").read_text().strip()
        with Client(url, (started.home / "user.token").read_text().strip()) as client:
            assert client.workers() == []
        assert started.stop() == 0
    assert started.text.count("PyTorch is not installed") == 1
    assert "ended with status" not in started.text


def test_a_worker_that_cannot_start_is_explained_once(tmp_path: Path) -> None:
    """Given another worker in its home, when the worker is restarted repeatedly, then the reason is printed once."""
    home = tmp_path / "home"
    (home / "worker").mkdir(parents=True, mode=0o700)
    with (home / "worker" / "worker.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with up(home) as started:
            said = "Another worker runs in"
            wait_until(
                lambda: (home / "headway.log").exists() and (home / "headway.log").read_text().count(said) > 1, said
            )
            assert started.stop() == 0
    assert started.text.count(said) == 1
    assert "The worker ended with status 2: Error: Another worker runs in" in started.text
