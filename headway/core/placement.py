"""Which workers run which ranks: priority, then age; a gang is placed whole or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from headway.core.job import Job, JobSpec
from headway.core.status import AssignmentState
from headway.core.worker import Worker, WorkerState

_NAMED = 3
"""Jobs that a sentence names before it counts the rest."""


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


def _place(job: Job, workers: Sequence[Worker], free: Mapping[str, int], *, shrink: bool = False) -> list[Share] | None:
    """The gang as it is asked for; with `shrink`, if the job allows it, as many ranks as there is room for."""
    spec = job.spec
    eligible = eligible_workers(spec, workers)
    size = spec.world_size
    if shrink and spec.minimum_world_size is not None:
        room = sum(max(0, free.get(worker.id, 0)) for worker in eligible)
        size = max(spec.minimum_world_size, min(size, room))
    return place_gang(size, eligible, free, ranks_per_worker=spec.ranks_per_worker, worker_count=spec.workers)


def _fits(job: Job, workers: Sequence[Worker]) -> bool:
    """Whether the job could be placed if nothing else ran."""
    return _place(job, workers, {worker.id: worker.slots for worker in workers}, shrink=True) is not None


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
        shares = _place(job, workers, free, shrink=job.id in shrinkable)
        if shares is not None:
            for share in shares:
                free[share.worker] -= share.rank_count
            placements.append((job, shares))
        elif _fits(job, workers):
            for worker in eligible_workers(job.spec, workers):
                free[worker.id] = 0
        if not any(count > 0 for count in free.values()):
            break
    return placements


def explain_misfit(job: Job, workers: Sequence[Worker]) -> str | None:
    """Why the job cannot start even on an empty fleet, and what to do; None if it can."""
    spec = job.spec
    eligible = eligible_workers(spec, workers)
    if not eligible and spec.where and any(not worker.draining for worker in workers):
        labels = " and ".join(f"{name}={value}" for name, value in spec.where.items())
        return f"Waiting for a worker with {labels}: none is connected. Workers say so by --label NAME=VALUE."
    if not eligible and any(worker.draining for worker in workers):
        return "Waiting for a worker: all are being drained. `headway workers undrain NAME` lets one take jobs again."
    if not eligible:
        return "Waiting for a worker: none is connected. Start one with `headway worker --server URL`."
    slots = sum(worker.slots for worker in eligible)
    least = spec.minimum_world_size or spec.world_size
    if least > slots:
        return (
            f"Waiting for slots: {least} are needed and all workers together have {slots}. "
            "Add workers, or submit it with a smaller --world-size."
        )
    if not _fits(job, workers):
        wish = f"{spec.ranks_per_worker} ranks on each worker" if spec.ranks_per_worker else f"{spec.workers} workers"
        return f"Waiting for workers: {spec.world_size} ranks with {wish} do not fit on the {len(eligible)} there are."
    return None


def explain_waiting(job: Job, queue: Sequence[Job], workers: Sequence[Worker], live: Sequence[Job]) -> str:
    """Why a queued job waits: its position, who is ahead, who has the slots, and what to do."""
    too_large = explain_misfit(job, workers)
    if too_large is not None:
        return too_large
    used = used_slots(live)
    eligible = eligible_workers(job.spec, workers)
    slots = sum(worker.slots for worker in eligible)
    free = slots - sum(used.get(worker.id, 0) for worker in eligible)
    ahead = [other.name for other in takewhile(lambda other: other.id != job.id, queue) if _fits(other, workers)]
    holders = _holders(live, {worker.id for worker in eligible})
    held = f" {holders} {'has' if ',' not in holders else 'have'} the others." if holders else ""
    if ahead:
        names = ", ".join(ahead[:_NAMED]) + (f" and {len(ahead) - _NAMED} more" if len(ahead) > _NAMED else "")
        verb = "are" if len(ahead) > 1 else "is"
        return f"Waiting at position {len(ahead) + 1}: {names} {verb} ahead; {free} of {slots} slots are free.{held}"
    if _place(job, workers, {worker.id: worker.slots - used.get(worker.id, 0) for worker in workers}) is None:
        size = job.spec.world_size
        return f"Waiting for slots: {size} are needed, {free} of {slots} are free. It is next.{held}"
    return "About to be placed."


def _holders(live: Sequence[Job], workers: set[str]) -> str:
    """The jobs that use slots of these workers, most first."""
    counts: dict[str, int] = {}
    for job in live:
        for assignment in job.attempt.assignments if job.attempt else ():
            if assignment.worker in workers and assignment.state is not AssignmentState.RELEASED:
                counts[job.name] = counts.get(job.name, 0) + assignment.rank_count
    names = sorted(counts, key=lambda name: (-counts[name], name))
    return ", ".join(f"{name} ({counts[name]})" for name in names[:_NAMED])
