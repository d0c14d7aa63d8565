"""`headway up` and `headway server`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

_STOP_SECONDS = 20.0
_RESTART_SECONDS = 2.0


def _options(command: Any) -> Any:
    for option in (
        click.option("--home", type=click.Path(path_type=Path), help="Folder of all state.  [default: ~/.headway]"),
        click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: 8420]"),
        click.option("--host", help="Address to listen on.  [default: 127.0.0.1]"),
    ):
        command = option(command)
    return command


@click.command()
@_options
def server(host: str | None, port: int | None, home: Path | None) -> None:
    """Start a server alone; workers join with `headway worker --server URL`."""
    from headway.server.main import serve
    from headway.settings import load_settings

    serve(load_settings(os.environ, host=host, port=port, home=home))


@click.command()
@_options
@click.option("--slots", type=click.IntRange(1, 4096), help="Ranks at the same time.  [default: accelerators or cores]")
def up(host: str | None, port: int | None, home: Path | None, slots: int | None) -> None:
    """Start a server and a worker on this machine, until Ctrl-C."""
    from headway.server.main import serve
    from headway.settings import load_settings

    settings = load_settings(os.environ, host=host, port=port, home=home)
    if slots:
        from headway.worker.devices import find_devices

        find_devices(os.environ).check_slots(slots)

    async def worker_beside(url: str) -> None:
        arguments = ["worker", "--server", url, "--home", str(settings.home / "worker"), "--parent", str(os.getpid())]
        arguments += ["--token-file", str(settings.home / "worker.token")]
        arguments += ["--slots", str(slots)] if slots else []
        await _keep_running([sys.executable, "-P", "-m", "headway", *arguments])

    click.echo(f"Home: {settings.home}. Stop with Ctrl-C.")
    serve(settings, worker_beside)


async def _keep_running(arguments: list[str]) -> None:
    """Run a process, again when it ends; when cancelled, end it and wait for it."""
    while True:
        process = await asyncio.create_subprocess_exec(*arguments, start_new_session=True)
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            raise
        click.secho(f"The worker ended with status {status}; it is started again.", err=True, fg="yellow")
        await asyncio.sleep(_RESTART_SECONDS)
