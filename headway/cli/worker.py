"""`headway worker`."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import threading
from importlib.util import find_spec
from pathlib import Path

import click

from headway.cli.values import BYTES, pair
from headway.core.name import check_labels, check_name

_LAST_SECONDS = 5.0


@click.command()
@click.option("--server", "server_url", required=True, help="URL of the server. Several: with commas.")
@click.option(
    "--token-file", type=click.Path(path_type=Path), help="The server's worker.token.  [default: that of the home]"
)
@click.option("--slots", type=click.IntRange(1, 4096), help="Ranks at the same time.  [default: accelerators or cores]")
@click.option("--name", help="The worker's name.  [default: this machine's name]")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label that jobs can require.")
@click.option("--host", help="Address for other workers.  [default: of the route to the server]")
@click.option("--interface", help="Network interface between ranks.  [default: of the route to the other worker]")
@click.option("--home", type=click.Path(path_type=Path), help="Its folder.  [default: ~/.headway/workers/NAME]")
@click.option("--dataset-cache", type=BYTES, help="Most disk space for cached datasets.  [default: 50g]")
@click.option("--parent", type=int, hidden=True, help="End when this process ends.")
def worker(
    server_url: str,
    token_file: Path | None,
    slots: int | None,
    name: str | None,
    labels: tuple[str, ...],
    host: str | None,
    interface: str | None,
    home: Path | None,
    dataset_cache: int | None,
    parent: int | None,
) -> None:
    """Start a worker. It registers with the server and runs ranks. Ctrl-C ends it."""
    from headway.errors import SettingInvalid
    from headway.home import default_home
    from headway.process_log import log_to_stderr
    from headway.rank_protocol.lifeline import die_with_parent
    from headway.settings import WorkerSettings, refuse_renamed
    from headway.worker.daemon import Worker
    from headway.worker.devices import find_devices
    from headway.worker.slots import usable_cores

    if parent is not None:
        die_with_parent(parent)
    if find_spec("torch") is None:
        raise SettingInvalid("This installation has no torch, so it cannot train: pip install 'headway[torch]'.")
    log_to_stderr("worker: ")
    name = (
        name or re.sub(r"[^a-z0-9._-]", "-", socket.gethostname().split(".")[0].lower())[:60].strip("-._") or "worker"
    )
    labelled = dict(pair(one, "--label") for one in labels)
    try:
        check_name(name)
        check_labels(labelled)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    refuse_renamed(os.environ)
    devices = find_devices(os.environ)
    settings = WorkerSettings(
        server_url=server_url,
        home=home or default_home() / "workers" / name,
        name=name,
        token_file=token_file or default_home() / "worker.token",
        labels=labelled,
        host=host,
        interface=interface,
        wakeups_url=os.environ.get("HEADWAY_WAKEUPS_URL") or os.environ.get("HEADWAY_BROKER_URL"),
        reports_url=os.environ.get("HEADWAY_REPORTS_URL") or os.environ.get("HEADWAY_BROKER_URL"),
        slots=slots or len(devices.found) or usable_cores(),
        **({} if dataset_cache is None else {"dataset_cache_bytes": dataset_cache}),
    )
    devices.check_slots(settings.slots)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_work(Worker(settings, devices)))


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return factory


async def _work(worker: object) -> None:
    from headway.worker.daemon import Worker

    assert isinstance(worker, Worker)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    os.umask(0o077)
    await worker.run(stopped)
    # Threads that cannot be stopped must not delay the end of the process.
    last = threading.Timer(_LAST_SECONDS, os._exit, (0,))
    last.daemon = True
    last.start()
