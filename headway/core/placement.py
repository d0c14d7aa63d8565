"""Which workers run which ranks: priority, then age; a gang is placed whole or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from headway.core.job import Job, JobSpec
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


def place_gang(
    world_size: int,
    workers: Sequence[Worker],
    free: Mapping[str, int],
    *,
    ranks_per_worker: int | None = None,
    worker_count: int | None = None,
) -> list[Share] | None:
    """Shares for all ranks, or None if they do not fit now.

    A gang stays on one worker if one has room (the fullest such, so that large gaps remain), else it takes the
    workers with the most room first, so that it spreads over as few as possible. With `ranks_per_worker` each has
    exactly so many, with `worker_count` it is spread evenly over so many.
    """
    roomy = sorted(
        (worker for worker in workers if free.get(worker.id, 0) > 0),
        key=lambda worker: (-free[worker.id], worker.name, worker.id),
    )
    sizes = _even_sizes(world_size, ranks_per_worker, worker_count)
    if sizes is not None:
        return _place_sizes(sizes, roomy, free)
    whole = [worker for worker in roomy if free[worker.id] >= world_size]
    chosen = [min(whole, key=lambda worker: (free[worker.id], worker.name, worker.id))] if whole else roomy
    counts: list[tuple[Worker, int]] = []
    left = world_size
    for worker in chosen:
        if left:
            counts.append((worker, min(free[worker.id], left)))
            left -= counts[-1][1]
    return None if left else _shares(counts)


def _even_sizes(world_size: int, ranks_per_worker: int | None, worker_count: int | None) -> list[int] | None:
    if ranks_per_worker is not None:
        return [ranks_per_worker] * (world_size // ranks_per_worker)
    if worker_count is not None:
        return [world_size * (n + 1) // worker_count - world_size * n // worker_count for n in range(worker_count)][
            ::-1
        ]
    return None


def _place_sizes(sizes: Sequence[int], roomy: Sequence[Worker], free: Mapping[str, int]) -> list[Share] | None:
    """Each size on a worker of its own: the largest first, on the fullest worker that it fits on."""
    left = list(roomy)
    counts: list[tuple[Worker, int]] = []
    for size in sorted(sizes, reverse=True):
        fitting = [worker for worker in left if free[worker.id] >= size]
        if not fitting:
            return None
        worker = min(fitting, key=lambda one: (free[one.id], one.name, one.id))
        left.remove(worker)
        counts.append((worker, size))
    return _shares(counts)


def _shares(counts: Sequence[tuple[Worker, int]]) -> list[Share]:
    shares: list[Share] = []
    first_rank = 0
    for worker, rank_count in counts:
        shares.append(Share(worker.id, worker.name, first_rank, rank_count))
        first_rank += rank_count
    return shares


def eligible_workers(spec: JobSpec, workers: Sequence[Worker]) -> list[Worker]:
    """The workers that take assignments and have every label that the job asks for."""
    return [
        worker
        for worker in workers
        if worker.state is WorkerState.READY
        and not worker.draining
        and all(worker.labels.get(name) == value for name, value in spec.where.items())
    ]


def place_job(
    job: Job, workers: Sequence[Worker], free: Mapping[str, int], *, shrink: bool = False
) -> list[Share] | None:
    """The gang as it is asked for; with `shrink`, if the job allows it, as many ranks as there is room for."""
    spec = job.spec
    eligible = eligible_workers(spec, workers)
    size = spec.world_size
    if shrink and spec.minimum_world_size is not None:
        room = sum(max(0, free.get(worker.id, 0)) for worker in eligible)
        size = max(spec.minimum_world_size, min(size, room))
    return place_gang(size, eligible, free, ranks_per_worker=spec.ranks_per_worker, worker_count=spec.workers)


def fits(job: Job, workers: Sequence[Worker]) -> bool:
    """Whether the job could be placed if nothing else ran."""
    return place_job(job, workers, {worker.id: worker.slots for worker in workers}, shrink=True) is not None


def place_queue(
    queue: Sequence[Job], workers: Sequence[Worker], used: Mapping[str, int], shrinkable: Collection[str] = ()
) -> list[tuple[Job, list[Share]]]:
    """Placements for the front of the queue, which is given in order of priority, then age.

    Jobs whose ids are `shrinkable` have waited long enough for all their ranks, and take fewer if they allow it.

    A job that would fit into the fleet but does not fit now holds the workers that it may use back from those behind
    it, or it might wait for ever; one that does not fit into the whole fleet is passed over.
    """
    free = {worker.id: worker.slots - used.get(worker.id, 0) for worker in workers}
    placements: list[tuple[Job, list[Share]]] = []
    for job in queue:
        shares = place_job(job, workers, free, shrink=job.id in shrinkable)
        if shares is not None:
            for share in shares:
                free[share.worker] -= share.rank_count
            placements.append((job, shares))
        elif fits(job, workers):
            for worker in eligible_workers(job.spec, workers):
                free[worker.id] = 0
        if not any(count > 0 for count in free.values()):
            break
    return placements
