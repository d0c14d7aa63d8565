"""Which workers run which ranks: priority, then age; a gang is placed whole or not at all."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from headway.core.allocation import FLEET, AllocationState
from headway.core.job import Job
from headway.core.status import AssignmentState
from headway.core.worker import Worker
from headway.core.worker_faults import avoided_workers

Labels = tuple[tuple[str, str], ...]


class Share(NamedTuple):
    """The ranks of an attempt that one worker runs."""

    worker: str
    worker_name: str
    first_rank: int
    rank_count: int


class Shape(NamedTuple):
    """The number of ranks, how they are spread, and which labels their workers need."""

    world_size: int
    minimum_world_size: int | None
    ranks_per_worker: int | None
    workers: int | None
    where: Labels


class Gang(NamedTuple):
    """A job in the queue. `retried`: it has an ended attempt. `avoids`: names of workers where it failed.

    `prefers`: names of workers that have files of its last attempt in its working directory.
    """

    priority: int
    sequence: int
    job: str
    name: str
    shape: Shape
    retried: bool
    avoids: frozenset[str] = frozenset()
    prefers: frozenset[str] = frozenset()
    project: str = ""
    engine: str = FLEET
    seats: tuple[str, ...] | None = None


def gang_of(job: Job) -> Gang:
    """The queue's view of the job."""
    spec = job.spec
    where = tuple(sorted(spec.where.items()))
    shape = Shape(spec.world_size, spec.minimum_world_size, spec.ranks_per_worker, spec.workers, where)
    retried = job.attempt is not None
    prefers = frozenset(
        name for name, left in job.left_files.items() if left.changed.count and left.attempt == job.attempt_number
    )
    held, engine = job.allocation, spec.engine or FLEET
    seats = held.workers if held is not None and held.state is AllocationState.UP else None
    avoids = frozenset() if spec.allocated else avoided_workers(job)
    return Gang(
        spec.priority, job.sequence, job.id, job.name, shape, retried, avoids, prefers, job.project, engine, seats
    )


def used_slots(jobs: Iterable[Job]) -> dict[str, int]:
    """Slots in use per worker: those of assignments that are not released."""
    used: dict[str, int] = {}
    for job in jobs:
        for assignment in job.attempt.assignments if job.attempt else ():
            if assignment.state is not AssignmentState.RELEASED:
                used[assignment.worker] = used.get(assignment.worker, 0) + assignment.rank_count
    return used


class _Place(NamedTuple):
    """A worker with free slots. Sorted by these, then by name."""

    free: int
    name: str
    worker: str


class _Room:
    """The workers with certain labels and free slots, by the number of free slots."""

    def __init__(self, workers: Iterable[Worker], free: Mapping[str, int]) -> None:
        self._places = sorted(
            _Place(free[worker.id], worker.name, worker.id) for worker in workers if free.get(worker.id, 0) > 0
        )
        self._free = {place.worker: place for place in self._places}
        self.slots = sum(place.free for place in self._places)

    def take(self, worker: str, count: int) -> None:
        """Take slots of a worker. Does nothing if the worker is not here."""
        place = self._free.pop(worker, None)
        if place is None:
            return
        del self._places[bisect_left(self._places, place)]
        self.slots -= count
        if place.free > count:
            left = self._free[worker] = place._replace(free=place.free - count)
            insort(self._places, left)

    def workers(self) -> list[str]:
        """The workers that have free slots."""
        return list(self._free)

    def fullest_with(self, count: int, but: Collection[str] = ()) -> _Place | None:
        """The worker with the fewest free slots that has `count`."""
        for place in self._places[bisect_left(self._places, (count,)) :]:
            if place.worker not in but:
                return place
        return None

    def named_with(self, count: int, names: Collection[str]) -> _Place | None:
        """A worker with one of the names and this many free slots."""
        if not names:
            return None
        return next((place for place in self._places if place.name in names and place.free >= count), None)

    def roomiest_first(self) -> Iterable[_Place]:
        """Most free slots first, then by name."""
        for _, places in groupby(reversed(self._places), key=lambda place: place.free):
            yield from reversed(list(places))


class Fleet:
    """The free slots of the workers that take assignments, while a queue is placed on them."""

    def __init__(self, workers: Sequence[Worker], used: Mapping[str, int]) -> None:
        self._workers = [worker for worker in workers if worker.takes_jobs]
        self._free = {worker.id: worker.slots - used.get(worker.id, 0) for worker in self._workers}
        self._rooms: dict[tuple[Labels, frozenset[str]], _Room] = {}

    @property
    def full(self) -> bool:
        """Whether no slot is free."""
        return not any(count > 0 for count in self._free.values())

    def free_slots(self, where: Labels, avoids: frozenset[str] = frozenset()) -> int:
        """Free slots of the workers with these labels, without the workers to avoid."""
        return self._room(where, avoids).slots

    def shares(
        self,
        shape: Shape,
        avoids: frozenset[str] = frozenset(),
        prefers: frozenset[str] = frozenset(),
        *,
        shrink: bool = False,
    ) -> list[Share] | None:
        """Shares for all ranks, or None if they do not fit now. With `shrink`: for as many ranks as fit, if allowed.

        A gang stays on one worker if one has room: a preferred one, else the fullest, so that large gaps remain.
        Otherwise it takes the workers with the most room first, so that it uses as few workers as possible.
        """
        room = self._room(shape.where, avoids)
        size = shape.world_size
        if shrink and shape.minimum_world_size is not None:
            size = max(shape.minimum_world_size, min(size, room.slots))
        if size > room.slots:
            return None
        sizes = _even_sizes(size, shape)
        if sizes is not None:
            return _on_workers_of_their_own(sizes, room)
        whole = room.named_with(size, prefers) or room.fullest_with(size)
        if whole is not None:
            return [Share(whole.worker, whole.name, 0, size)]
        counts: list[tuple[_Place, int]] = []
        for place in room.roomiest_first():
            counts.append((place, min(place.free, size)))
            size -= counts[-1][1]
            if not size:
                break
        return _numbered(counts)

    def take(self, shares: Iterable[Share]) -> None:
        """Take the slots of these shares."""
        for share in shares:
            self._take(share.worker, share.rank_count)

    def hold(self, where: Labels, avoids: frozenset[str]) -> None:
        """Reserve all workers that a waiting gang may use."""
        for worker in self._room(where, avoids).workers():
            self.close(worker)

    def close(self, worker: str) -> None:
        """Place nothing more on a worker."""
        if self._free[worker] > 0:
            self._take(worker, self._free[worker])

    def _take(self, worker: str, count: int) -> None:
        self._free[worker] -= count
        for room in self._rooms.values():
            room.take(worker, count)

    def _room(self, where: Labels, avoids: frozenset[str]) -> _Room:
        if (where, avoids) not in self._rooms:
            usable = [worker for worker in self._workers if has_labels(worker, where) and worker.name not in avoids]
            self._rooms[where, avoids] = _Room(usable, self._free)
        return self._rooms[where, avoids]


class Fitting:
    """Whether gangs would fit if nothing else ran. Computed once per shape and set of workers to avoid."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._empty = Fleet(workers, {})
        self._names = frozenset(worker.name for worker in workers)
        self._known: dict[tuple[Shape, frozenset[str]], bool] = {}

    def fits(self, shape: Shape, avoids: frozenset[str] = frozenset()) -> bool:
        """Whether the shape fits on the empty fleet, shrunk if that is allowed."""
        if (shape, avoids) not in self._known:
            self._known[shape, avoids] = self._empty.shares(shape, avoids, shrink=True) is not None
        return self._known[shape, avoids]

    def avoidable(self, gang: Gang) -> frozenset[str]:
        """The workers that the gang avoids. Empty if no others could take it, or it would wait for ever."""
        avoids = gang.avoids & self._names
        return avoids if avoids and self.fits(gang.shape, avoids) else frozenset()


def place_queue(
    queue: Iterable[Gang],
    workers: Sequence[Worker],
    used: Mapping[str, int],
    shrinkable: Collection[str] = (),
    tried: Collection[str] = (),
) -> list[tuple[Gang, list[Share]]]:
    """Placements for the queue, which is sorted by priority, then age.

    Jobs in `shrinkable` (ids) have waited long enough for all their ranks; they take fewer if they allow it. Workers in
    `tried` (ids) get only one gang, to see whether they work.

    A job that fits into the empty fleet but not into the free slots reserves the workers that it may use, or it might
    wait for ever. A job that does not fit into the empty fleet is skipped.
    """
    fleet, fitting = Fleet(workers, used), Fitting(workers)
    held: set[tuple[Labels, frozenset[str]]] = set()
    placements: list[tuple[Gang, list[Share]]] = []
    for gang in queue:
        where, avoids = gang.shape.where, fitting.avoidable(gang)
        if (where, avoids) in held:
            continue
        shares = fleet.shares(gang.shape, avoids, gang.prefers, shrink=gang.job in shrinkable)
        if shares is not None:
            fleet.take(shares)
            placements.append((gang, shares))
            for share in shares:
                if share.worker in tried:
                    fleet.close(share.worker)
        elif fitting.fits(gang.shape):
            fleet.hold(where, avoids)
            held.add((where, avoids))
        if fleet.free_slots(where) == 0 and fleet.full:
            break
    return placements


def eligible_workers(where: Labels, workers: Iterable[Worker]) -> list[Worker]:
    """The workers with these labels that take assignments."""
    return [worker for worker in workers if worker.takes_jobs and has_labels(worker, where)]


def has_labels(worker: Worker, where: Labels) -> bool:
    """Whether a worker has these labels."""
    return all(worker.labels.get(name) == value for name, value in where)


def _even_sizes(world_size: int, shape: Shape) -> list[int] | None:
    """Ranks per worker, largest first, if the shape fixes them."""
    if shape.ranks_per_worker is not None:
        return [shape.ranks_per_worker] * (world_size // shape.ranks_per_worker)
    if shape.workers is not None:
        count = shape.workers
        return [world_size * (n + 1) // count - world_size * n // count for n in reversed(range(count))]
    return None


def _on_workers_of_their_own(sizes: Sequence[int], room: _Room) -> list[Share] | None:
    """Each share on another worker: the largest first, on the fullest worker with room for it."""
    counts: list[tuple[_Place, int]] = []
    taken: set[str] = set()
    for size in sorted(sizes, reverse=True):
        place = room.fullest_with(size, taken)
        if place is None:
            return None
        taken.add(place.worker)
        counts.append((place, size))
    return _numbered(counts)


def _numbered(counts: Sequence[tuple[_Place, int]]) -> list[Share]:
    shares: list[Share] = []
    first_rank = 0
    for place, rank_count in counts:
        shares.append(Share(place.worker, place.name, first_rank, rank_count))
        first_rank += rank_count
    return shares
