"""Writes docs/internals/drill.md from what `headway drill --json` printed: `python -m tools.drill_table FILE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "internals" / "drill.md"
_HEAD = """# The drill

`headway drill` starts a server and three workers on this machine, in a folder and on ports of its own, and trains a
small network with two ranks on two workers: once undisturbed, then once per scenario. It needs no root and touches
nothing else. After each scenario it checks:

- The weights equal those of the undisturbed run, to the last bit.
- Each metric step is there once. No log line of any attempt is lost or duplicated.
- Events are numbered without a gap and contain one end of the job.
- No attempt was placed before the previous one had ended.
- The newest checkpoint loads.

The lease is three seconds here (ten by default). Noticed: from the fault to the record of the failure. First step: from
the fault to the end of the next attempt's first step. Repeated: steps that were done twice. A crash (SIGSEGV) is an
error in the job: the job must fail with that cause. Figures are medians over the rounds of one run, here three.

```console
$ headway drill --list
$ headway drill --only 'worker killed' --json
```

| scenario | held | noticed | first step | repeated | attempts |
|---|---|---|---|---|---|
"""
_TAIL = """
The drill's server has a broker and a clock that misbehave when a file tells them to. A full disk is simulated by a
limit on the size of a process's files, which needs Linux. If a scenario cannot run on a machine, the drill reports
it and exits with 1.
"""


def main() -> None:
    """Write the page."""
    said = json.loads(Path(sys.argv[1]).read_text())
    PAGE.write_text(_HEAD + "".join(map(_row, said["scenarios"])) + _beside(said) + _TAIL)


def _beside(said: dict[str, Any]) -> str:
    text = ""
    if said["torchrun_tries"] and said["torchrun_first_step_seconds"] is None:
        tries = f"any of {said['torchrun_tries']} tries"
        text += f"\nBare `torchrun --max-restarts` did not come back from a killed rank in {tries}.\n"
    if said["torchrun_first_step_seconds"] is not None:
        seconds = f"{said['torchrun_first_step_seconds']:.2f} s"
        text += (
            f"\nBare `torchrun --max-restarts` takes {seconds} from the killed rank to the next start's first step,\n"
        )
        text += f"in the same run: {said['ratio_torchrun']:.1f} times as long. It did not come back at all in "
        text += f"{said['torchrun_gave_up']} of {said['torchrun_tries']} tries.\n"
    away = next((one["outage_step_ratio"] for one in said["scenarios"] if one["scenario"] == "server killed"), None)
    if away is not None:
        text += f"\nWhile the server is away a step takes {away:.2f} times as long as before (medians).\n"
    return text


def _row(one: dict[str, Any]) -> str:
    cells = (
        one["scenario"],
        "yes" if one["held"] else "**no**",
        _seconds(one["noticed_seconds"]),
        _seconds(one["first_step_seconds"]),
        "" if one["repeated_steps"] is None else f"{one['repeated_steps']:.0f}",
        str(one["attempts"]),
    )
    return "| " + " | ".join(cells) + " |\n"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"


if __name__ == "__main__":
    main()
