"""Headway's daemon on one machine, as the server knows it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from headway.core.frozen import Frozen, Text
from headway.core.name import Name

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 30.0, 1800.0


class WorkerState(StrEnum):
    """`ready` takes assignments; `lost` is final: the daemon registers again, under another id."""

    READY = "ready"
    LOST = "lost"


HOST = r"^[A-Za-z0-9._%:\[\]-]+$"
"""A host name, or an IPv4 or IPv6 address."""


class WorkerDescription(Frozen):
    """What a worker reports about itself when it registers."""

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
    """The machine's load now, from all its processes. `cpu_fraction`: 1.0 is all cores."""

    cpu_fraction: float = Field(ge=0)
    memory_used_bytes: int = Field(ge=0)
    memory_bytes: int = Field(ge=0)


class WorkerFault(Frozen):
    """An attempt that ended by the worker's own fault. `counts`: no ranks have worked there since."""

    job: str
    attempt: int
    placed_at: float
    at: float
    error: str
    counts: bool = True


class Quarantine(Frozen):
    """The worker takes no assignments except one try after each pause, because of its own faults.

    `reason`: its last fault; `since`: seconds since the epoch; `failed_tries`: how many tries failed.
    """

    reason: str
    since: float
    failed_tries: int = 0

    @property
    def pause_seconds(self) -> float:
        """Time before the next try: half a minute, doubled after each failed try, at most half an hour."""
        return min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(self.failed_tries, 30))


class TakenSeat(Frozen):
    """Which seat of which allocation a worker has: it runs ranks of that job only."""

    job: str
    allocation: str
    number: int


class Worker(WorkerDescription):
    """One start of a worker. Each start gets a new id; `former` is the id of the previous start on the same home.

    `draining`: it takes no assignments until a user undrains it, also after a new start. `faults`: its last own faults,
    oldest first. `quarantine`: set after too many of them.
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
    seat: TakenSeat | None = None

    @property
    def takes_jobs(self) -> bool:
        """Whether jobs can be placed on it."""
        return self.state is WorkerState.READY and not self.draining and self.quarantine is None
