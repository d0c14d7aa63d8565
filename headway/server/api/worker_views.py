"""Workers as users see them."""

from __future__ import annotations

from pydantic import BaseModel

from headway.core.worker import Quarantine, TakenSeat, WorkerLoad, WorkerState
from headway.server.services.workers import WorkerNow


class WorkerView(BaseModel):
    """A worker as users see it. `ranks`: how many ranks of each job it runs, by the job's name.

    `seat`: of a worker that an engine made for one job: the job's id, its allocation, and the seat in it.

    Jobs of projects that you may not see count in `used_slots` only.
    """

    id: str
    name: str
    state: WorkerState
    draining: bool
    quarantine: Quarantine | None
    labels: dict[str, str]
    slots: int
    used_slots: int
    ranks: dict[str, int]
    load: WorkerLoad | None
    threads_per_slot: int
    accelerators: tuple[str, ...]
    host: str
    version: str
    platform: str
    registered_at: float
    silent_seconds: float | None
    seat: TakenSeat | None


def worker_view(now: WorkerNow) -> WorkerView:
    """A worker for an answer."""
    shown = {name: getattr(now.worker, name) for name in WorkerView.model_fields if hasattr(now.worker, name)}
    shown |= {name: value for name, value in now._asdict().items() if name != "worker"}
    return WorkerView(**shown)
