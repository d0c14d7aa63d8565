"""`headway up` and `headway server`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


def _options(command: Any) -> Any:
    for option in (
        click.option(
            "--behind-proxy",
            is_flag=True,
            default=None,
            help="Listen without TLS: a proxy has it, or you trust the network.",
        ),
        click.option("--home", type=click.Path(path_type=Path), help="Folder of all state.  [default: ~/.headway]"),
        click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: 8420]"),
        click.option("--host", help="Address to listen on.  [default: 127.0.0.1]"),
    ):
        command = option(command)
    return command


@click.command()
@_options
@click.option("--tls-certificate", type=click.Path(path_type=Path), help="File with the server's certificate.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="File with its key.")
def server(**options: Any) -> None:
    """Start a server alone. Workers join it with `headway worker --server URL`."""
    from headway.process_log import log_to_stderr
    from headway.server.main import serve
    from headway.settings import load_settings

    log_to_stderr()
    serve(load_settings(os.environ, **options))


@click.command()
@_options
@click.option("--slots", type=click.IntRange(1, 4096), help="Ranks at the same time.  [default: accelerators or cores]")
def up(slots: int | None, **options: Any) -> None:
    """Start a server and a worker on this machine. Ctrl-C ends them. Their log is headway.log in the home."""
    from headway.cli.local_worker import LocalWorker
    from headway.errors import SettingInvalid
    from headway.process_log import log_to_file
    from headway.server.main import serve
    from headway.settings import load_settings

    settings = load_settings(os.environ, **options)
    if settings.tls_certificate is not None:
        raise SettingInvalid("`headway up` has no TLS. Start `headway server` with it, and workers beside it.")
    if slots:
        from headway.worker.devices import find_devices

        find_devices(os.environ).check_slots(slots)
    try:
        log = log_to_file(settings.home)
    except OSError as error:
        raise SettingInvalid(f"HEADWAY_HOME is {settings.home}, which cannot be used: {error}") from error
    serve(settings, LocalWorker(settings.home, log, slots).run)
    click.echo("Stopped.")
