"""`headway drill`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from headway.cli.common import json_option, print_json


@click.command()
@click.option("--only", multiple=True, metavar="WORDS", help="Only scenarios with these words in their name.")
@click.option("--list", "list_only", is_flag=True, help="Print the scenarios and end.")
@json_option
def drill(only: tuple[str, ...], list_only: bool, as_json: bool) -> None:
    """Strike a throw-away fleet on this machine, with real training, and see whether everything holds.

    It has a home and ports of its own and needs no root. The exit status is 1 if anything did not hold.
    """
    from headway.drill.scenarios import SCENARIOS

    chosen = [one for one in SCENARIOS if not only or any(words in one.name for words in only)]
    if not chosen:
        raise click.BadParameter(f"no scenario has {' or '.join(only)} in its name: headway drill --list")
    if list_only:
        click.echo("\n".join(one.name for one in chosen))
        return
    from headway.drill.run import run_drill

    began = time.monotonic()
    if not as_json:
        click.secho(_line("SCENARIO", "HELD", "NOTICED", "FIRST STEP", "REPEATED", "ATTEMPTS"), bold=True)
    with tempfile.TemporaryDirectory(prefix="headway-drill-") as folder:
        outcomes = run_drill(Path(folder), chosen, (lambda _: None) if as_json else _tell)
    held = all(outcome.held for outcome in outcomes)
    if as_json:
        print_json({"held": held, "scenarios": [one.model_dump(mode="json") for one in outcomes]})
    else:
        took = time.monotonic() - began
        count = sum(outcome.held for outcome in outcomes)
        click.secho(f"{count} of {len(outcomes)} held, in {took:.0f} s.", fg="green" if held else "red", bold=True)
    sys.exit(0 if held else 1)


def _tell(outcome: Any) -> None:
    line = _line(
        outcome.scenario,
        "yes" if outcome.held else "NO",
        _seconds(outcome.noticed_seconds),
        _seconds(outcome.first_step_seconds),
        "-" if outcome.repeated_steps is None else f"{outcome.repeated_steps} steps",
        str(outcome.attempts),
    )
    click.secho(line, fg=None if outcome.held else "red")
    for sentence in outcome.broken:
        click.secho(f"    {sentence}", fg="red")


def _line(*cells: str) -> str:
    widths = (32, 5, 9, 11, 10, 8)
    return "".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
