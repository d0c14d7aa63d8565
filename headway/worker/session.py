"""One session of a worker: from a registration until the server declares that worker id lost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headway.brokers.envelope import seal
from headway.core.protocol import AssignmentKey, Timeouts
from headway.worker.connection import Connection
from headway.worker.devices import Devices
from headway.worker.outbox import Outbox
from headway.worker.preparation import Preparation
from headway.worker.slots import Slots


@dataclass(frozen=True)
class Session:
    """The result of a registration, and what the assignments of the session share."""

    worker: str
    """The id that the server gave this start of the worker."""
    report_key: str
    """Signs reports for brokers that others can write to."""
    timeouts: Timeouts
    """The time limits that the server sent at registration."""
    connection: Connection
    """Sends requests as `worker`."""
    outbox: Outbox
    """Outlives the session: the next session sends the reports of former ids."""
    home: Path
    host: str
    """The address where other workers' ranks reach this machine."""
    interface: str | None
    """The network interface for ranks, from the settings."""
    preparation: Preparation
    slots: Slots
    threads_per_slot: int
    devices: Devices

    def key(self, job: str, attempt: int) -> AssignmentKey:
        """The key of the worker's assignment of an attempt, and of its stream of reports."""
        return AssignmentKey(job=job, attempt=attempt, worker=self.worker)

    def sealed(self, body: bytes) -> bytes:
        """A report in its signed envelope."""
        return seal(body, self.worker, self.report_key)
