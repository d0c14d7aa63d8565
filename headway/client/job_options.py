"""The options of a job, beside the program that it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict


class JobOptions(TypedDict, total=False):
    """The options of `Client.run`. Each is a field of a job's spec; `workdir` is a directory to send."""

    workdir: Path | str
    name: str
    world_size: int | Mapping[str, int]
    minimum_world_size: int
    workers: int
    ranks_per_worker: int
    engine: str
    where: Mapping[str, str]
    priority: int
    retries: int
    retry_window_seconds: float
    timeout_seconds: float
    stall_seconds: float
    memory_bytes: int
    dataset: str
    parameters: Mapping[str, bool | int | float | str]
    env: Mapping[str, str]
    environment: Mapping[str, str]
    outputs: Sequence[str]
    metrics: Mapping[str, str]
    checkpoints: Mapping[str, Any]
    from_checkpoint: str
    labels: Mapping[str, str]
    notes: str
