"""`headway backup` and `headway restore`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headway.cli.common import json_option, print_json, when
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

    Servers may go on meanwhile. Exit status 1 if something was damaged in the store already; the rest is in FILE.
    """
    from headway.server.backup import take_backup
    from headway.settings import load_settings

    manifest = asyncio.run(take_backup(load_settings(os.environ, home=home), file))
    _tell(
        manifest,
        as_json,
        f"{file} has {size(file.stat().st_size)}. Keep it secret: tokens are signed by what it holds.",
    )
    for damaged in manifest.damaged:
        click.secho(f"{damaged} is gone or damaged in the store.", err=True, fg="red")
    sys.exit(bool(manifest.damaged))


@click.command()
@_file
@_home
@click.option("--check", is_flag=True, help="Only see whether FILE is whole.")
@json_option
def restore(file: Path, home: Path | None, check: bool, as_json: bool) -> None:
    """Write the installation in FILE to an empty home, or to an empty database and object store of any kind.

    Then start the servers. Jobs that ran go on from their newest checkpoint; workers register anew.
    """
    from headway.server.restore import check_backup, restore_backup
    from headway.settings import load_settings

    if check:
        _tell(check_backup(file), as_json, f"{file} is whole.")
        return
    manifest = asyncio.run(restore_backup(load_settings(os.environ, home=home), file))
    _tell(manifest, as_json, "All of it was read again after it was written, and is as in the backup.")


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
