"""What one rank sees of its attempt. The same script runs outside Headway too, where nothing is recorded."""

from __future__ import annotations

import json
import os
import time
from functools import cache
from pathlib import Path
from typing import Any


class Run:
    """One rank of one attempt: who it is, its parameters, and where its metrics and files go."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.rank = int(variables.get("RANK", "0"))
        self.local_rank = int(variables.get("LOCAL_RANK", "0"))
        self.world_size = int(variables.get("WORLD_SIZE", "1"))
        self.local_world_size = int(variables.get("LOCAL_WORLD_SIZE", "1"))
        self.job = variables.get("HEADWAY_JOB_ID")
        self.attempt = int(variables.get("HEADWAY_ATTEMPT", "1"))
        self.parameters: dict[str, Any] = json.loads(variables.get("HEADWAY_PARAMETERS", "{}"))
        self.output_directory = Path(variables.get("HEADWAY_OUTPUT_DIRECTORY", "outputs"))
        record_file = variables.get("HEADWAY_RUN_FILE")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._descriptor = os.open(record_file, flags, 0o600) if record_file else None

    @classmethod
    def of_rank(cls) -> Run:
        """The run of this process, from its variables."""
        return cls(dict(os.environ))

    def log(self, step: int, **values: float) -> None:
        """Record metrics of a step. A name may have a slash: `run.log(5, **{"train/loss": 0.3})`.

        Costs a few microseconds: one small append to a local file, which the worker reads.
        """
        self.record({"step": step, "at": time.time(), "values": {name: float(values[name]) for name in values}})

    def reached(self, stage: str, total_steps: int | None = None) -> None:
        """Record that a stage of the training was reached, for the job's stage times."""
        self.record({"type": "stage_reached", "stage": stage, "at": time.time(), "total_steps": total_steps})

    def record(self, record: dict[str, Any]) -> None:
        """Append one record for the worker; whole, since appends of this size are atomic."""
        if self._descriptor is not None:
            os.write(self._descriptor, json.dumps(record).encode() + b"\n")


@cache
def run() -> Run:
    """The run of this process."""
    return Run.of_rank()
