"""`headway predict`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import click

from headway.cli.common import json_option, print_json, print_table
from headway.cli.names import job_argument
from headway.client import Client
from headway.errors import InvalidInput, SettingInvalid

_SHOWN = 20


@click.command()
@job_argument
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def predict(job: str, file: Path, as_json: bool) -> None:
    """Run a job's model on samples: an IDX file, .npy, .npz or an image. It runs on this machine and needs torch."""
    if find_spec("torch") is None:
        raise SettingInvalid("Predicting needs torch: pip install 'headway[torch]'.")
    with tempfile.TemporaryDirectory() as folder:
        with Client() as client:
            client.job(job).download("model", folder)
        # torch is imported by a process of its own: the command line stays quick.
        command = [sys.executable, "-P", "-m", "headway.training.predict", folder, str(file.absolute())]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise InvalidInput(ran.stderr.strip().rpartition("\n")[2])
    found = json.loads(ran.stdout)
    if as_json:
        print_json(found)
        return
    rows = ((str(number), str(one["class"]), f"{one['probability']:.1%}") for number, one in enumerate(found[:_SHOWN]))
    print_table(("SAMPLE", "CLASS", "PROBABILITY"), rows)
    if len(found) > _SHOWN:
        click.echo(f"{len(found) - _SHOWN:,} more; --json prints them all.")
