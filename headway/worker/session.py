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
    """What a registration gave, and what the assignments of the session share."""

    worker: str
    """The id that the server gave this start of the worker."""
    report_key: str
    """Signs reports that pass through brokers which others can write to."""
    timeouts: Timeouts
    """What the server said at registration."""
    connection: Connection
    """Speaks for `worker` from its registration on."""
    outbox: Outbox
    """Outlives the session: reports of former ids are sent by the next."""
    home: Path
    host: str
    """Where other workers' ranks reach this machine."""
    interface: str | None
    """The network interface that a setting names for ranks."""
    preparation: Preparation
    slots: Slots
    threads_per_slot: int
    devices: Devices

    def key(self, job: str, attempt: int) -> AssignmentKey:
        """What the worker's assignment of an attempt, and its stream of reports, is called."""
        return AssignmentKey(job=job, attempt=attempt, worker=self.worker)

    def sealed(self, body: bytes) -> bytes:
        """A report in its signed envelope."""
        return seal(body, self.worker, self.report_key)
