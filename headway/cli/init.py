"""`headway init` and `headway schema`: write a job file, and the schema with which editors check it."""

from __future__ import annotations

from pathlib import Path

import click

from headway.cli.common import answer, json_option, print_json
from headway.errors import Conflict


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default="job.yaml")
@json_option
def init(file: Path, as_json: bool) -> None:
    """Write a commented job file, job.yaml by default, for you to change and submit."""
    from headway.client.connection import server_url
    from headway.client.job_file import TEMPLATE

    if file.exists():
        raise Conflict(f"{file} exists already. Choose another name: headway init other.yaml")
    file.write_text(TEMPLATE.format(filename=file, schema_url=f"{server_url()}/job.schema.json"))
    answer({"file": str(file)}, f"{file} is written. Change it, then: headway submit {file} --dry-run", as_json=as_json)


@click.command()
def schema() -> None:
    """Print the JSON schema of job files, for editors."""
    from headway.client.job_file import job_file_schema

    print_json(job_file_schema())
