"""`headway init` and `headway schema`: writing a job file, and what editors check it by."""

from __future__ import annotations

from pathlib import Path

import click

from headway.cli.common import print_json
from headway.errors import Conflict


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default="job.yaml")
def init(file: Path) -> None:
    """Write a commented job file, job.yaml by default, to be changed and submitted."""
    from headway.client.connection import server_url
    from headway.client.job_file import TEMPLATE

    if file.exists():
        raise Conflict(f"{file} exists already. Give another name: headway init other.yaml")
    file.write_text(TEMPLATE.format(filename=file, schema_url=f"{server_url()}/job.schema.json"))
    click.echo(f"{file} is written. Change it, then: headway submit {file} --dry-run")


@click.command()
def schema() -> None:
    """Print the JSON schema of job files, for editors."""
    from headway.client.job_file import job_file_schema

    print_json(job_file_schema())
