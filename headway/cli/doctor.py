"""`headway doctor`."""

from __future__ import annotations

import sys

import click

from headway.cli.common import json_option, print_json
from headway.core.size import counted


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Find configuration problems on this machine, and print how to fix them. Exit status 1 if there are any."""
    from headway.cli.doctor_checks import CHECKS

    findings = [(title, list(check())) for title, check in CHECKS.items()]
    problems = [problem for _, found in findings for problem in found]
    if as_json:
        print_json(
            [{"check": title, "problem": one.what, "cure": one.cure} for title, found in findings for one in found]
        )
        sys.exit(bool(problems))
    for title, found in findings:
        mark = click.style("ok", fg="green") if not found else click.style("!!", fg="red", bold=True)
        click.echo(f"{mark}  {title}")
        for problem in found:
            click.echo(f"    {problem.what}")
            click.secho(f"    -> {problem.cure}", fg="cyan")
    click.echo("No problems found." if not problems else f"{counted(len(problems), 'problem')}.")
    sys.exit(bool(problems))
