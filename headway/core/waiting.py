"""Why a queued job waits, its place in the queue, and when it will probably start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import computed_field

from headway.core.frozen import Frozen
from headway.core.job import Job
from headway.core.placement import (
    Fitting,
    Fleet,
    Gang,
    Labels,
    Shape,
    eligible_workers,
    gang_of,
    has_labels,
    place_queue,
    used_slots,
)
from headway.core.status import AssignmentState
from headway.core.worker import Worker

_MAXIMUM_NAMED = 3
"""A sentence names this many jobs and counts the rest."""
_MAXIMUM_ENDS = 100
"""An estimate looks at the ends of this many other jobs. There is no estimate beyond them."""
_MINUTE_SECONDS, _HOUR_SECONDS, _DAY_SECONDS = 60, 3600, 86_400


class Waiting(Frozen):
    """Why a queued job waits. `misfit`: why it cannot start even on an empty fleet, and what to do.

    `position` counts from 1. `ahead`: names of the jobs before it that could start. `holders`: how many slots each job
    uses, by the job's name. `estimated_seconds`: until it probably starts; None if the jobs before it do not report
    their progress. `avoids`: workers that it avoids for now, because it failed there.
    """

    misfit: str | None = None
    position: int = 1
    ahead: tuple[str, ...] = ()
    needed_slots: int = 0
    free_slots: int = 0
    slots: int = 0
    holders: dict[str, int] = {}
    estimated_seconds: float | None = None
    avoids: tuple[str, ...] = ()

    @computed_field(description="The job will be placed next; it waits for nothing.")  # type: ignore[prop-decorator]
    @property
    def about_to_be_placed(self) -> bool:
        """Whether the job waits for nothing."""
        return self.misfit is None and not self.ahead and not self.holders

    @property
    def sentence(self) -> str:
        """For people."""
        if self.misfit is not None:
            return self.misfit
        held = ""
        if self.holders:
            names = ", ".join(f"{name} ({count})" for name, count in list(self.holders.items())[:_MAXIMUM_NAMED])
            held = f" In use by {names}."
        soon = "" if self.estimated_seconds is None else f" Starts in about {_rounded(self.estimated_seconds)}."
        if self.avoids:
            soon = f" Avoids {' and '.join(self.avoids)} for now, because it failed there.{soon}"
        unit = "slot" if self.needed_slots == 1 else "slots"
        verb = "is" if self.free_slots == 1 else "are"
        need = f"Needs {self.needed_slots} {unit}; {self.free_slots} of {self.slots} {verb} free."
        if self.ahead:
            unnamed = self.position - 1 - _MAXIMUM_NAMED
            more = f" and {unnamed} more" if unnamed > 0 else ""
            place = f"Position {self.position} in queue, after {', '.join(self.ahead[:_MAXIMUM_NAMED])}{more}"
            return f"{need} {place}.{held}{soon}"
        if self.holders:
            return f"{need} Next in queue.{held}{soon}"
        return "Starts now."


def explain_misfit(job: Job, workers: Sequence[Worker]) -> str | None:
    """Why the job cannot start even on an empty fleet, and what to do; None if it can."""
    spec, shape = job.spec, gang_of(job).shape
    eligible = eligible_workers(shape.where, workers)
    labelled = [worker for worker in workers if has_labels(worker, shape.where)]
    quarantined = _quarantined(labelled)
    if not eligible and not labelled and workers:
        labels = " and ".join(f"{name}={value}" for name, value in spec.where.items())
        return f"No connected worker has {labels}. Start one with --label NAME=VALUE."
    if not eligible and quarantined:
        return f"Waiting for a worker.{quarantined}"
    if not eligible and labelled:
        return "All workers are drained. `headway workers undrain NAME` lets one take jobs again."
    if not eligible:
        return "No worker is connected. Start one with `headway worker --server URL`."
    slots = sum(worker.slots for worker in eligible)
    least = spec.minimum_world_size or spec.world_size
    if least > slots:
        return (
            f"Needs {least} slots; all workers together have {slots}. "
            f"Add workers, or submit it with a smaller --world-size.{quarantined}"
        )
    if not Fitting(workers).fits(shape):
        wish = f"{spec.ranks_per_worker} ranks on each worker" if spec.ranks_per_worker else f"{spec.workers} workers"
        return f"Needs {spec.world_size} ranks with {wish}. The {len(eligible)} workers cannot take them.{quarantined}"
    return None


def _quarantined(workers: Sequence[Worker]) -> str:
    """Sentences that name the quarantined workers and the reasons, with a leading space; empty if there are none."""
    found = [(worker.name, worker.quarantine.reason.rstrip(".")) for worker in workers if worker.quarantine is not None]
    if not found:
        return ""
    said = " ".join(f"Worker {name} is quarantined: {reason}." for name, reason in found[:_MAXIMUM_NAMED])
    more = f" {len(found) - _MAXIMUM_NAMED} more are quarantined." if len(found) > _MAXIMUM_NAMED else ""
    end = f"`headway workers restore {found[0][0]}` ends the quarantine now."
    return f" {said}{more} After a pause one job is tried there. {end}"


class QueuePlaces:
    """The places of all jobs of a queue at one moment. What jobs have in common is looked up once."""

    def __init__(self, queue: Sequence[Gang], workers: Sequence[Worker], live: Sequence[Job]) -> None:
        self._workers, self._live = workers, live
        self._fitting, self._fleet = Fitting(workers), Fleet(workers, used_slots(live))
        self._names: list[str] = []
        self._ahead: dict[str, int] = {}
        self._unfit: set[str] = set()
        for gang in queue:
            self._ahead[gang.job] = len(self._names)
            if self._fitting.fits(gang.shape):
                self._names.append(gang.name)
            else:
                self._unfit.add(gang.job)
        self._misfits: dict[Shape, str | None] = {}
        self._free_now: dict[tuple[Shape, frozenset[str]], bool] = {}
        self._holders: dict[Labels, dict[str, int]] = {}
        self._slots: dict[Labels, int] = {}

    def waiting(self, job: Job, maximum_names: int | None = None) -> Waiting:
        """Why a queued job waits, without an estimate. `ahead` names at most so many jobs."""
        gang = gang_of(job)
        shape, where = gang.shape, gang.shape.where
        if shape not in self._misfits:
            self._misfits[shape] = explain_misfit(job, self._workers)
        misfit = self._misfits[shape]
        if misfit is not None:
            return Waiting(misfit=misfit)
        avoids = self._fitting.avoidable(gang)
        if (shape, avoids) not in self._free_now:
            self._free_now[shape, avoids] = self._fleet.shares(shape, avoids) is not None
        ahead = self._ahead.get(job.id, len(self._names))
        blocked = ahead > 0 or not self._free_now[shape, avoids]
        if where not in self._holders:
            eligible = eligible_workers(where, self._workers)
            self._holders[where] = _holders(self._live, {worker.id for worker in eligible})
            self._slots[where] = sum(worker.slots for worker in eligible)
        return Waiting(
            position=ahead + 1,
            ahead=tuple(self._names[: ahead if maximum_names is None else min(ahead, maximum_names)]),
            needed_slots=job.spec.world_size,
            free_slots=self._fleet.free_slots(where),
            slots=self._slots[where],
            holders=self._holders[where] if blocked else {},
            estimated_seconds=None if blocked else 0.0,
            avoids=tuple(sorted(avoids)) if blocked else (),
        )

    def positions(self, jobs: Iterable[str]) -> dict[str, int]:
        """The places of those of these jobs, by id, that wait in the queue and fit on the empty fleet."""
        return {job: self._ahead[job] + 1 for job in jobs if job in self._ahead and job not in self._unfit}

    def briefly(self, job: Job) -> Waiting:
        """Why a queued job waits, with no more names than its sentence has."""
        return self.waiting(job, _MAXIMUM_NAMED)


def waiting(
    job: Job,
    queue: Sequence[Gang],
    workers: Sequence[Worker],
    live: Sequence[Job],
    remaining_seconds: Mapping[str, float] | None = None,
) -> Waiting:
    """Why a queued job waits. `remaining_seconds`: estimated time left of live jobs, by id, where it is known."""
    found = QueuePlaces(queue, workers, live).waiting(job)
    if found.misfit is not None or found.estimated_seconds is not None:
        return found
    estimated = _estimated_seconds(gang_of(job), queue, workers, live, remaining_seconds or {})
    return found.model_copy(update={"estimated_seconds": estimated})


def _estimated_seconds(
    gang: Gang, queue: Sequence[Gang], workers: Sequence[Worker], live: Sequence[Job], remaining: Mapping[str, float]
) -> float | None:
    """Simulate: live jobs end one after the other, and the queue is placed. Jobs placed here never end."""
    used = used_slots(live)
    waits = list(queue) if gang in queue else [*queue, gang]
    waits = waits[: waits.index(gang) + 1]  # jobs behind it do not delay it
    for ending in sorted((one for one in live if one.id in remaining), key=lambda one: remaining[one.id])[
        :_MAXIMUM_ENDS
    ]:
        for worker, count in used_slots([ending]).items():
            used[worker] -= count
        for placed, shares in place_queue(waits, workers, used):
            if placed == gang:
                return remaining[ending.id]
            waits.remove(placed)
            for share in shares:
                used[share.worker] = used.get(share.worker, 0) + share.rank_count
    return None


def _holders(live: Sequence[Job], workers: set[str]) -> dict[str, int]:
    """The jobs that use slots of these workers, the largest first."""
    counts: dict[str, int] = {}
    for job in live:
        for assignment in job.attempt.assignments if job.attempt else ():
            if assignment.worker in workers and assignment.state is not AssignmentState.RELEASED:
                counts[job.name] = counts.get(job.name, 0) + assignment.rank_count
    return {name: counts[name] for name in sorted(counts, key=lambda name: (-counts[name], name))}


def _rounded(seconds: float) -> str:
    """A duration, rounded to its largest unit."""
    for unit, size in (("days", _DAY_SECONDS), ("hours", _HOUR_SECONDS), ("minutes", _MINUTE_SECONDS)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1, round(seconds)):.0f} s"
