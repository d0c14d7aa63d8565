"""What all assignments of a worker share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headway.core.protocol import Timeouts
from headway.worker.connection import Connection
from headway.worker.devices import Devices
from headway.worker.outbox import Outbox
from headway.worker.preparation import Preparation
from headway.worker.slots import Slots


@dataclass(frozen=True)
class Place:
    """One session of a worker: its id, its address, and what it runs ranks with."""

    worker: str
    home: Path
    host: str
    interface: str | None
    threads_per_slot: int
    connection: Connection
    timeouts: Timeouts
    preparation: Preparation
    outbox: Outbox
    slots: Slots
    devices: Devices
