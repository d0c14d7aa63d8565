"""`headway worker`."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import click

from headway.cli.values import BYTES, pair
from headway.core.name import check_labels, check_name

_LAST_SECONDS = 5.0
_ENDED_BEFORE_RELEASE = 75
"""Exit code of a worker of an allocation that was told to end: 0 would tell its engine that its work is done."""


class _Seat(NamedTuple):
    """The seat of an allocation that a worker takes. The engine names it when it starts the worker."""

    seat: int
    start: str
    """Which start of the seat this is."""
    grace_seconds: float
    """The time from SIGTERM to SIGKILL."""


def _allocation_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options with which an engine starts a worker. The command gets them as one `seat`, None without them."""

    @click.option("--allocation", is_flag=True, hidden=True, help="Serve one job: take a seat of its allocation.")
    @click.option("--seat", type=click.IntRange(0), default=0, hidden=True, help="Which seat.")
    @click.option("--start", hidden=True, help="Which start of the seat this is.  [default: drawn]")
    @click.option(
        "--grace-seconds", type=click.FloatRange(1), default=30.0, hidden=True, help="From SIGTERM to SIGKILL."
    )
    @wraps(command)
    def with_seat(*, allocation: bool, seat: int, start: str | None, grace_seconds: float, **options: Any) -> None:
        one = _Seat(seat, start or secrets.token_hex(8), grace_seconds) if allocation else None
        command(seat=one, **options)

    return with_seat


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
@_allocation_options
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
    seat: _Seat | None,
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
    from headway.worker.rank_output import show_rank_output
    from headway.worker.slots import usable_cores

    if parent is not None:
        die_with_parent(parent)
    if find_spec("torch") is None:
        raise SettingInvalid("This installation has no torch, so it cannot train: pip install 'headway[torch]'.")
    log_to_stderr("worker: ")
    if seat is not None:
        show_rank_output(sys.stdout)
    name, labelled = name or _host_name(), dict(pair(one, "--label") for one in labels)
    _check(name, labelled)
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
        **({"start": secrets.token_hex(8)} if seat is None else seat._asdict()),
    )
    devices.check_slots(settings.slots)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        code = runner.run(_work(Worker(settings, devices)))
    sys.exit(code)


def _host_name() -> str:
    return re.sub(r"[^a-z0-9._-]", "-", socket.gethostname().split(".")[0].lower())[:60].strip("-._") or "worker"


def _check(name: str, labels: dict[str, str]) -> None:
    try:
        check_name(name)
        check_labels(labels)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: type[asyncio.AbstractEventLoop] = uvloop.Loop
    return factory


async def _work(worker: object) -> int:
    """The worker's exit code."""
    from headway.errors import AllocationReleased
    from headway.worker.daemon import Worker

    assert isinstance(worker, Worker)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    os.umask(0o077)
    released = False
    try:
        await worker.run(stopped)
    except AllocationReleased as error:
        logging.getLogger(__name__).info("%s", error)
        released = True
    code = 0 if released or worker.released or not worker.has_seat else _ENDED_BEFORE_RELEASE
    # Threads that cannot be stopped must not delay the end of the process.
    last = threading.Timer(_LAST_SECONDS, os._exit, (code,))
    last.daemon = True
    last.start()
    return code
