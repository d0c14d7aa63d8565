"""Headway's daemon on one machine, as the server knows it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from headway.core.dataset import NAME_PATTERN
from headway.core.frozen import Frozen


class WorkerState(StrEnum):
    """`ready` takes assignments; `lost` is final: the daemon registers anew under another id."""

    READY = "ready"
    LOST = "lost"


class WorkerDescription(Frozen):
    """What a worker says of itself when it registers."""

    name: str = Field(pattern=NAME_PATTERN)
    slots: int = Field(ge=1, le=4096)
    threads_per_slot: int = Field(ge=1)
    accelerators: tuple[str, ...] = ()
    host: str = Field(description="Address at which the worker answers the server's probe and other ranks.")
    port: int = Field(ge=1, le=65535, description="Port that the worker listens on for the probe.")
    version: str = ""
    platform: str = ""
    labels: dict[str, str] = Field(default={}, max_length=64)


class WorkerLoad(Frozen):
    """What is used of the machine now, by everything on it. `cpu_fraction`: 1.0 is all cores."""

    cpu_fraction: float = Field(ge=0)
    memory_used_bytes: int = Field(ge=0)
    memory_bytes: int = Field(ge=0)


class Worker(WorkerDescription):
    """One start of a worker. Each start draws a new id; `former` is the id of the start before on the same home.

    `draining`: it is to take no assignments, until a user says otherwise, also after a new start.
    """

    id: str
    state: WorkerState = WorkerState.READY
    former: str | None = None
    draining: bool = False
    registered_at: float
    lost_at: float | None = None
    lost_because: str | None = None
