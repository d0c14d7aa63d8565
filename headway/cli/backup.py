"""`headway backup` and `headway restore`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headway.cli.common import json_option, print_json, when
from headway.client.transfers import transfer_progress
from headway.core.size import size

if TYPE_CHECKING:
    from headway.server.backup_format import Manifest

_home = click.option("--home", type=click.Path(path_type=Path), help="Folder of all state.  [default: ~/.headway]")
_file = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.command()
@_file
@_home
@json_option
def backup(file: Path, home: Path | None, as_json: bool) -> None:
    """Write a whole installation to FILE: jobs, logs, metrics, checkpoints, models, datasets, and its secret.

    Servers may run meanwhile. Exit status 1 if something in the store was damaged before; the rest is in FILE.
    """
    from headway.server.backup import take_backup
    from headway.settings import load_settings

    settings = load_settings(os.environ, home=home)
    with transfer_progress("Copying objects", None) as copied:
        manifest = asyncio.run(take_backup(settings, file, copied))
    _tell(
        manifest,
        as_json,
        f"{file} has {size(file.stat().st_size)}. Keep it secret: it contains the key that signs tokens.",
    )
    for damaged in manifest.damaged:
        click.secho(f"{damaged} is missing or damaged in the store.", err=True, fg="red")
    sys.exit(bool(manifest.damaged))


@click.command()
@_file
@_home
@click.option("--check", is_flag=True, help="Only check that FILE is complete and undamaged.")
@json_option
def restore(file: Path, home: Path | None, check: bool, as_json: bool) -> None:
    """Write the installation in FILE to an empty home, or to an empty database and object store of any kind.

    Then start the servers. Jobs that ran continue from their newest checkpoint; workers register again.
    """
    from headway.server.restore import check_backup, restore_backup
    from headway.settings import load_settings

    size_bytes = file.stat().st_size if file.is_file() else None
    if check:
        with transfer_progress("Checking", size_bytes) as read:
            manifest = check_backup(file, read)
        _tell(manifest, as_json, f"{file} is complete and undamaged.")
        return
    settings = load_settings(os.environ, home=home)
    with transfer_progress("Checking, then writing", size_bytes and 2 * size_bytes) as done:
        manifest = asyncio.run(restore_backup(settings, file, done))
    _tell(manifest, as_json, "It was read again after it was written, and is the same as the backup.")


def _tell(manifest: Manifest, as_json: bool, sentence: str) -> None:
    if as_json:
        counts = {kind.value: count for kind, count in manifest.counts.items()}
        objects = {"objects": manifest.object_count, "object_bytes": manifest.object_bytes}
        print_json({"taken_at": manifest.taken_at, "counts": counts, **objects, "damaged": manifest.damaged})
        return
    counted = [f"{count:,} {kind}{'s' if count != 1 else ''}" for kind, count in manifest.counts.items() if count]
    counted.append(f"{manifest.object_count:,} objects of {size(manifest.object_bytes)}")
    click.echo(f"Installation {manifest.installation.id} as of {when(manifest.taken_at)}: {', '.join(counted)}.")
    click.echo(sentence)
