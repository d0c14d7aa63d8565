"""Training jobs and scripts that save, and helpers that read their checkpoints."""

from __future__ import annotations

from typing import Any

from headway.client import JobHandle

COUNTS = """
import headway, os, sys, time, torch
run = headway.run()
state = run.restore() or {"step": 0, "weights": torch.zeros(3)}
print(f"attempt {run.attempt} from {state['step']} weights {state['weights'].tolist()}", flush=True)
while state["step"] < 30:
    state["step"] += 1
    state["weights"] += run.rank + 1
    if state["step"] % 10 == 0: run.save(state, state["step"])
    WHAT
"""


WAITS_ONCE = 'if state["step"] == 25 and run.attempt == 1: time.sleep(300)'


WAITS_TWICE = 'if state["step"] == 25 and run.attempt < 3: time.sleep(300)'


def texts(job: JobHandle, rank: int = 0) -> list[str]:
    return [line["text"] for line in job.logs() if line["rank"] == rank]


def newest_step(job: JobHandle) -> int | None:
    return max((step for one in job.metrics().series for step in one["steps"]), default=None)


def complete_steps(job: JobHandle) -> list[int]:
    return [one["step"] for one in job.checkpoints() if one["complete"]]


TRAINING = {"trainer": "mlp", "dataset": "digits", "world_size": 2}


OFTEN = {"every_steps": 20, "every_seconds": None}


def long_training(steps: int = 1200, **changes: Any) -> dict[str, Any]:
    parameters = {"epochs": 10_000, "max_steps": steps, "batch_size": 32, "log_every_steps": 10}
    return {**TRAINING, "parameters": parameters, "checkpoints": OFTEN, **changes}
