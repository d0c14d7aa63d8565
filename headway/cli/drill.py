"""`headway drill`."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.status import Status

from headway.cli.common import json_option, print_json


@click.command()
@click.option("--only", multiple=True, metavar="WORDS", help="Only scenarios whose name has these words.")
@click.option("--list", "list_only", is_flag=True, help="Print the scenarios and end.")
@click.option("--rounds", type=click.IntRange(1, 100), default=1, help="Runs of each scenario; figures are medians.")
@json_option
def drill(only: tuple[str, ...], list_only: bool, rounds: int, as_json: bool) -> None:
    """Run fault-injection tests on a temporary fleet on this machine, with real training.

    The fleet has its own home and ports and needs no root. Exit status 1: a scenario failed or could not run here.
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
        click.secho(_line("SCENARIO", "PASSED", "NOTICED", "FIRST STEP", "REPEATED", "ATTEMPTS"), bold=True)
    with tempfile.TemporaryDirectory(prefix="headway-drill-") as folder:
        display = _Display(len(chosen), shown=not as_json)
        with display.line:
            report = run_drill(Path(folder), chosen, display.tell, rounds, display.begin)
    if as_json:
        rest = report.model_dump(mode="json", exclude={"outcomes"})
        print_json({"held": report.held, "scenarios": [one.model_dump(mode="json") for one in report.outcomes], **rest})
    else:
        if report.torchrun_first_step_seconds is not None:
            words = f"torchrun --max-restarts takes {report.torchrun_first_step_seconds:.2f} s to the first step"
            gave_up = f" (it failed in {report.torchrun_gave_up} of {report.torchrun_tries} tries)"
            click.echo(f"A rank killed: {words}, {report.ratio_torchrun} times as long{gave_up}.")
        took = time.monotonic() - began
        count = sum(outcome.held for outcome in report.outcomes)
        words = f"{count} of {len(report.outcomes)} passed, in {took:.0f} s."
        click.secho(words, fg="green" if report.held else "red", bold=True)
    sys.exit(0 if report.held else 1)


class _Display:
    """Prints each outcome, and on a terminal below them what runs now."""

    def __init__(self, count: int, *, shown: bool) -> None:
        self._console = Console()
        self._shown = shown
        self._count = count
        self._done = 0
        self.line = self._console.status("") if shown and self._console.is_terminal else nullcontext()

    def begin(self, words: str) -> None:
        """Show what runs now."""
        if isinstance(self.line, Status):
            self.line.update(f"{words} ({self._done} of {self._count} done)")

    def tell(self, outcome: Any) -> None:
        """Print an outcome."""
        self._done += 1
        if self._shown:
            _tell(outcome)


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
        click.secho(f"    Not run: {outcome.impossible}.", fg="yellow")
    for sentence in outcome.broken:
        click.secho(f"    {sentence}", fg="red")


def _line(*cells: str) -> str:
    widths = (32, 7, 9, 11, 10, 8)
    return "".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"
