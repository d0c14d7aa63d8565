"""The worker process of `headway up`: it is kept running, and the terminal shows its state."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from importlib.util import find_spec
from pathlib import Path

import click
import httpx

from headway import __version__
from headway.core.size import counted

_STOP_SECONDS = 20.0
_LOOK_SECONDS = 0.1
_FIRST_RESTART_SECONDS = 2.0
_LAST_RESTART_SECONDS = 60.0
_STEADY_SECONDS = 60.0
"""A worker that ran this long is restarted after the shortest wait."""


class LocalWorker:
    """One worker process. It is restarted when it ends; the waits grow if it ends soon again."""

    def __init__(self, home: Path, log: Path, slots: int | None) -> None:
        self._home = home
        self._log = log
        self._slots = slots
        self._said: str | None = None

    async def run(self, url: str, enter_url: str) -> None:
        """Print that the server is ready, and keep a worker running until cancelled."""
        click.echo(f"Headway {__version__} is ready at {click.style(url, bold=True)}")
        click.echo(f"  Browser  {enter_url}\n           (works once, for ten minutes; `headway link` makes another)")
        click.echo(f"  Log      {self._log}")
        if find_spec("torch") is None:
            click.secho("  Worker   none: PyTorch is not installed, so nothing can train here.", fg="yellow")
            click.echo("           Install it, then start Headway again: pip install 'headway[torch]'")
            return
        saying = asyncio.create_task(self._say_when_ready(url))
        try:
            await self._keep_running(url)
        finally:
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)

    async def _say_when_ready(self, url: str) -> None:
        """Wait until the worker has registered, then print its slots and the next command."""
        token = (self._home / "user.token").read_text().strip()
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}) as http:
            while True:
                answer = await http.get("/api/v1/workers")
                ready = [one for one in answer.raise_for_status().json() if one["state"] == "ready"]
                if ready:
                    break
                await asyncio.sleep(_LOOK_SECONDS)
        click.echo(f"  Worker   {ready[0]['name']}, {counted(ready[0]['slots'], 'slot')}")
        click.echo("In another terminal: headway train cnn --dataset mnist --epochs 2")
        click.echo("Stop with Ctrl-C.")

    async def _keep_running(self, url: str) -> None:
        wait_seconds = _FIRST_RESTART_SECONDS
        while True:
            began, log_bytes = time.monotonic(), self._log.stat().st_size
            status = await self._run_once(url)
            if time.monotonic() - began > _STEADY_SECONDS:
                wait_seconds = _FIRST_RESTART_SECONDS
            self._tell_end(_words_for(status, self._last_line(log_bytes)))
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(2 * wait_seconds, _LAST_RESTART_SECONDS)

    async def _run_once(self, url: str) -> int:
        """Run the process; its exit status. When cancelled, end it and wait for it."""
        arguments = ["worker", "--server", url, "--home", str(self._home / "worker"), "--parent", str(os.getpid())]
        arguments += ["--token-file", str(self._home / "worker.token")]
        arguments += ["--slots", str(self._slots)] if self._slots else []
        command = [sys.executable, "-P", "-m", "headway", *arguments]
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, start_new_session=True)
        try:
            return await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise

    def _tell_end(self, cause: str) -> None:
        """Print why the worker ended: each cause once, as it may end many times."""
        if cause != self._said:
            click.secho(cause, err=True, fg="yellow")
            click.echo(f"It will be restarted. Its log: {self._log}", err=True)
        self._said = cause

    def _last_line(self, start: int) -> str:
        with self._log.open("rb") as log:
            log.seek(start)
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it printed nothing"


def _words_for(status: int, last_line: str) -> str:
    """Why the worker ended: by a signal, or with an exit status and the last line of its log."""
    if status < 0:
        return f"The worker was killed with {signal.Signals(-status).name}."
    return f"The worker ended with status {status}: {last_line}"


async def _end(process: Process) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
