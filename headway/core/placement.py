"""Which workers run which ranks: priority, then age; a gang is placed whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from headway.core.job import Job
from headway.core.status import AssignmentState
from headway.core.worker import Worker, WorkerState


@dataclass(frozen=True)
class Share:
    """The ranks of an attempt that one worker is to run."""

    worker: str
    worker_name: str
    first_rank: int
    rank_count: int


def used_slots(jobs: Iterable[Job]) -> dict[str, int]:
    """Slots in use per worker, derived from the assignments that are not released."""
    used: dict[str, int] = {}
    for job in jobs:
        for assignment in job.attempt.assignments if job.attempt else ():
            if assignment.state is not AssignmentState.RELEASED:
                used[assignment.worker] = used.get(assignment.worker, 0) + assignment.rank_count
    return used


def place_gang(world_size: int, workers: Sequence[Worker], free: Mapping[str, int]) -> list[Share] | None:
    """Shares for all ranks, or None if they do not fit now.

    A gang stays on one worker if one has room (the fullest such, so that large gaps remain), else it takes the
    workers with the most room first, so that it spreads over as few as possible.
    """
    roomy = [worker for worker in workers if free.get(worker.id, 0) > 0]
    whole = [worker for worker in roomy if free[worker.id] >= world_size]
    if whole:
        chosen = [min(whole, key=lambda worker: (free[worker.id], worker.name, worker.id))]
    else:
        chosen = sorted(roomy, key=lambda worker: (-free[worker.id], worker.name, worker.id))
    shares: list[Share] = []
    first_rank = 0
    for worker in chosen:
        rank_count = min(free[worker.id], world_size - first_rank)
        if rank_count:
            shares.append(Share(worker.id, worker.name, first_rank, rank_count))
            first_rank += rank_count
    return shares if first_rank == world_size else None


def place_queue(
    queue: Sequence[Job], workers: Sequence[Worker], used: Mapping[str, int]
) -> list[tuple[Job, list[Share]]]:
    """Placements for the front of the queue, which is given in order of priority, then age.

    A job that would fit into the fleet but does not fit now blocks those behind it, or it might wait for ever;
    one that is larger than the whole fleet is passed over.
    """
    ready = [worker for worker in workers if worker.state is WorkerState.READY]
    free = {worker.id: worker.slots - used.get(worker.id, 0) for worker in ready}
    fleet_slots = sum(worker.slots for worker in ready)
    placements: list[tuple[Job, list[Share]]] = []
    for job in queue:
        if job.spec.world_size > fleet_slots:
            continue
        shares = place_gang(job.spec.world_size, ready, free)
        if shares is None:
            break
        for share in shares:
            free[share.worker] -= share.rank_count
        placements.append((job, shares))
    return placements


def explain_misfit(job: Job, workers: Sequence[Worker]) -> str | None:
    """Why the job cannot start even on an empty fleet, and what to do; None if it can."""
    ready = [worker for worker in workers if worker.state is WorkerState.READY]
    slots = sum(worker.slots for worker in ready)
    if not ready:
        return "Waiting for a worker: none is connected. Start one with `headway worker --server URL`."
    if job.spec.world_size > slots:
        return (
            f"Waiting for slots: {job.spec.world_size} are needed and all workers together have {slots}. "
            "Add workers, or submit it with a smaller --world-size."
        )
    return None


def explain_waiting(job: Job, queue: Sequence[Job], workers: Sequence[Worker], used: Mapping[str, int]) -> str:
    """Why a queued job waits, and what to do, in a sentence."""
    too_large = explain_misfit(job, workers)
    if too_large is not None:
        return too_large
    ready = [worker for worker in workers if worker.state is WorkerState.READY]
    slots = sum(worker.slots for worker in ready)
    size = job.spec.world_size
    ahead = 0
    for other in queue:
        if other.id == job.id:
            break
        ahead += int(other.spec.world_size <= slots)
    free = slots - sum(used.get(worker.id, 0) for worker in ready)
    if ahead:
        jobs = "jobs are" if ahead > 1 else "job is"
        return f"Waiting for its turn: {ahead} {jobs} ahead; {free} of {slots} slots are free."
    if free < size:
        return f"Waiting for slots: {size} are needed, {free} of {slots} are free. It is next."
    return "About to be placed."
