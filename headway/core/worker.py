"""Headway's daemon on one machine, as the server knows it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from headway.core.frozen import Frozen, Text
from headway.core.name import Name

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 30.0, 1800.0


class WorkerState(StrEnum):
    """`ready` takes assignments; `lost` is final: the daemon registers anew under another id."""

    READY = "ready"
    LOST = "lost"


HOST = r"^[A-Za-z0-9._%:\[\]-]+$"
"""The form of an address: a host's name, or IPv4's or IPv6's."""


class WorkerDescription(Frozen):
    """What a worker says of itself when it registers."""

    name: Name
    slots: int = Field(ge=1, le=4096)
    threads_per_slot: int = Field(ge=1)
    accelerators: tuple[Annotated[Text, Field(max_length=200)], ...] = Field(default=(), max_length=4096)
    host: str = Field(
        max_length=300,
        pattern=HOST,
        description="Address at which the worker answers the server's probe and other ranks.",
    )
    port: int = Field(ge=1, le=65535, description="Port that the worker listens on for the probe.")
    version: Text = Field(default="", max_length=200)
    platform: Text = Field(default="", max_length=500)
    labels: dict[Text, Text] = Field(default={}, max_length=64)


class WorkerLoad(Frozen):
    """What is used of the machine now, by everything on it. `cpu_fraction`: 1.0 is all cores."""

    cpu_fraction: float = Field(ge=0)
    memory_used_bytes: int = Field(ge=0)
    memory_bytes: int = Field(ge=0)


class WorkerFault(Frozen):
    """An attempt of a job that ended by the worker's own fault. `counts`: the worker has not worked since."""

    job: str
    attempt: int
    placed_at: float
    at: float
    error: str
    counts: bool = True


class Quarantine(Frozen):
    """The worker is to take no assignments but one try after each pause, for faults of its own.

    `reason`: its last fault; `since`: seconds since the epoch; `failed_tries`: how many tries went wrong.
    """

    reason: str
    since: float
    failed_tries: int = 0

    @property
    def pause_seconds(self) -> float:
        """Time before the next try: half a minute, and twice as long after each that went wrong, up to half an hour."""
        return min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(self.failed_tries, 30))


class Worker(WorkerDescription):
    """One start of a worker. Each start draws a new id; `former` is the id of the start before on the same home.

    `draining`: it is to take no assignments, until a user says otherwise, also after a new start. `faults`: the last
    ones of its own, oldest first; `quarantine`: they were too many.
    """

    id: str
    state: WorkerState = WorkerState.READY
    former: str | None = None
    draining: bool = False
    registered_at: float
    lost_at: float | None = None
    lost_because: str | None = None
    faults: tuple[WorkerFault, ...] = ()
    quarantine: Quarantine | None = None

    @property
    def takes_jobs(self) -> bool:
        """Whether jobs can be placed on it."""
        return self.state is WorkerState.READY and not self.draining and self.quarantine is None
