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
@click.option("--rounds", type=click.IntRange(1, 100), default=1, help="Play each so often; figures are medians.")
@json_option
def drill(only: tuple[str, ...], list_only: bool, rounds: int, as_json: bool) -> None:
    """Strike a throw-away fleet on this machine, with real training, and see whether everything holds.

    It has a home and ports of its own and needs no root. The exit status is 1 if anything did not hold, or could not
    be played here.
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
        said = run_drill(Path(folder), chosen, (lambda _: None) if as_json else _tell, rounds)
    if as_json:
        rest = said.model_dump(mode="json", exclude={"outcomes"})
        print_json({"held": said.held, "scenarios": [one.model_dump(mode="json") for one in said.outcomes], **rest})
    else:
        if said.torchrun_first_step_seconds is not None:
            words = f"torchrun --max-restarts takes {said.torchrun_first_step_seconds:.2f} s to the first step"
            gave_up = f" (it gave up in {said.torchrun_gave_up} of {said.torchrun_tries} tries)"
            click.echo(f"A rank killed: {words}, {said.ratio_torchrun} times as long{gave_up}.")
        took = time.monotonic() - began
        count = sum(outcome.held for outcome in said.outcomes)
        words = f"{count} of {len(said.outcomes)} held, in {took:.0f} s."
        click.secho(words, fg="green" if said.held else "red", bold=True)
    sys.exit(0 if said.held else 1)


def _tell(outcome: Any) -> None:
    line = _line(
        outcome.scenario,
        "yes" if outcome.held else "-" if outcome.impossible else "NO",
        _seconds(outcome.noticed_seconds),
        _seconds(outcome.first_step_seconds),
        "-" if outcome.repeated_steps is None else f"{outcome.repeated_steps:.0f} steps",
        str(outcome.attempts),
    )
    click.secho(line, fg=None if outcome.held else "red")
    if outcome.outage_step_ratio is not None:
        click.echo(
            f"    While the server was away, a step took {outcome.outage_step_ratio:.2f} times as long as before."
        )
    if outcome.impossible:
        click.secho(f"    Not played: {outcome.impossible}.", fg="yellow")
    for sentence in outcome.broken:
        click.secho(f"    {sentence}", fg="red")


def _line(*cells: str) -> str:
    widths = (32, 5, 9, 11, 10, 8)
    return "".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
