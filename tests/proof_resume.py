"""`make proof`: trainers and a script are killed at fifty random points each, and must end like uninterrupted runs."""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from headway.client import Client
from tests.fleet import Fleet
from tests.random_kills import trainer_spec, unbroken, with_kills

EXAMPLES = Path(__file__).parents[1] / "examples"
STEPS = {"mlp": 5_000, "lstm": 2_000, "cnn": 2_000}
CASES = [(world_size, precision) for precision in ("fp32", "bf16") for world_size in (1, 2, 4)]


class Case(NamedTuple):
    """A case: a trainer or `script`."""

    trainer: str
    world_size: int
    precision: str


def main() -> int:
    """Print JSON with the kills and comparisons. The exit status says whether all results were equal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50, help="Per trainer.")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=[*STEPS, "script"], action="append")
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    rows = []
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder)) as fleet:
        fleet.start_server()
        fleet.start_worker("one", slots=2)
        fleet.start_worker("two", slots=2)
        fleet.wait_for_workers(2)
        client = fleet.client()
        for name in arguments.only or [*STEPS, "script"]:
            left = arguments.kills
            while left > 0:
                for world_size, precision in CASES if name != "script" else CASES[:3]:
                    if left > 0:
                        row = _compare(fleet, client, Case(name, world_size, precision), min(left, 9), generator)
                        print(json.dumps(row), file=sys.stderr, flush=True)
                        rows.append(row)
                        left -= row["kills"]
    equal = all(row["weights_equal"] and row["metrics_equal"] for row in rows)
    print(json.dumps({"proof": "resume", "seed": arguments.seed, "all_equal": equal, "rows": rows}, indent=2))
    return 0 if equal else 1


def _compare(fleet: Fleet, client: Client, case: Case, kills: int, generator: random.Random) -> dict[str, Any]:
    spec = _spec(client, *case)
    alone = unbroken(client, spec)
    broken = with_kills(fleet, client, spec, kills=kills, generator=generator)
    return {
        **case._asdict(),
        "kills": broken.kills,
        "strikes_while_saving": broken.strikes_while_saving,
        "resumed_from": broken.steps[1:],
        "weights_equal": broken.weights == alone.weights,
        "metrics_equal": broken.series == alone.series,
    }


def _spec(client: Client, name: str, world_size: int, precision: str) -> dict[str, Any]:
    if name == "script":
        work = client.script_spec(EXAMPLES / "resume.py", EXAMPLES)
        arguments = ["--epochs", "200", "--save-steps", "50"]
        return {**work, "arguments": arguments, "data": "digits", "world_size": world_size}
    return trainer_spec(name, world_size, precision, steps=STEPS[name], every_steps=10)


if __name__ == "__main__":
    sys.exit(main())
