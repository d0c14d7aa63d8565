"""What becomes of a job's allocation, as pure functions from job to job. See `transitions`."""

from __future__ import annotations

from math import ceil
from typing import Any

from headway.core.allocation import Allocation, Over, Seat, SeatEnded, SeatState, SeatUp, Waiting
from headway.core.attempt_end import finish
from headway.core.end_reason import EndReason
from headway.core.job import Job, JobSpec
from headway.core.job_change import emit, warn
from headway.core.protocol import SeatStart
from headway.core.status import JobStatus
from headway.errors import AllocationReleased, SeatTaken

_FAILED_STARTS = 3
"""A seat that ends so often in a row before its worker has registered would end again."""


def allocation_id(job_id: str, number: int) -> str:
    """The id of a job's allocation; allocations are counted from 1."""
    return f"{job_id}-{number}"


def job_of(allocation: str) -> str:
    """The id of the job that an allocation was made for."""
    return allocation.rpartition("-")[0]


def seats_of(spec: JobSpec) -> tuple[int, int]:
    """How many seats a job asks for, and with how many slots each: a seat per rank, unless the spec groups ranks."""
    seats = spec.workers or spec.world_size // (spec.ranks_per_worker or 1)
    return seats, ceil(spec.world_size / seats)


def wants_allocation(job: Job) -> bool:
    """Whether an engine is to be asked for machines."""
    return job.spec.allocated and job.status is JobStatus.QUEUED and not job.hold and job.allocation is None


def gives_back(job: Job) -> bool:
    """Whether the job has machines that it does not need: it has ended, or it is paused and its ranks have ended."""
    idle = job.status.terminal or (job.hold and job.status is JobStatus.QUEUED)
    return idle and job.allocation is not None


def request_allocation(job: Job, now: float) -> Job:
    """Note a new allocation with the job, before the engine is asked."""
    if not wants_allocation(job):
        return job
    seats, slots = seats_of(job.spec)
    number = job.allocation_count + 1
    allocation = Allocation(
        id=allocation_id(job.id, number),
        engine=str(job.spec.engine),
        seats=(Seat(),) * seats,
        slots_per_seat=slots,
        requested_at=now,
        waits_since=now,
    )
    job = job.model_copy(update={"allocation": allocation, "allocation_count": number})
    return emit(job, "allocation.requested", now, allocation=allocation.id, seats=seats)


def check_seat(job: Job, allocation: str, number: int, start: str) -> None:
    """Raises AllocationReleased, and SeatTaken for a start that has a newer one, or a seat that is not there."""
    held = job.allocation
    if held is None or held.id != allocation:
        raise AllocationReleased(f"Allocation {allocation} of job {job.name} was released. Its workers are to end.")
    if number >= len(held.seats):
        raise SeatTaken(f"Allocation {allocation} has no seat {number}: its seats are 0 to {len(held.seats) - 1}.")
    if start in held.seats[number].former_starts:
        raise SeatTaken(f"Seat {number} of allocation {allocation} has a newer worker. This one is to end.")


def take_seat(job: Job, allocation: str, taken: SeatStart, worker: str, now: float) -> Job:
    """A worker has registered for a seat. Raises AllocationReleased, SeatTaken."""
    number = taken.number
    check_seat(job, allocation, number, taken.start)
    held = job.allocation
    if held is None or held.seats[number].worker == worker:
        return job
    job = _with_seat(job, number, held.seats[number].taken_by(worker, taken.start, taken.call), now)
    job = emit(job, "allocation.seat_up", now, allocation=allocation, seat=number, worker=worker)
    if job.allocation is not None and job.allocation.workers and job.allocation.waits_since is None:
        return emit(job, "allocation.up", now, allocation=allocation)
    return job


def vacate_seat(job: Job, worker: str, now: float) -> Job:
    """A worker is lost: its seat, if it has one, is to be filled again."""
    number = job.allocation.seat_of(worker) if job.allocation is not None else None
    if job.allocation is None or number is None:
        return job
    seat = job.allocation.seats[number].model_copy(update={"state": SeatState.ENDED, "worker": None})
    job = _with_seat(job, number, seat, now)
    return emit(job, "allocation.seat_lost", now, allocation=_id(job), seat=number, sentence=seat.sentence)


def seat_asked_again(job: Job, allocation: str, number: int, now: float) -> Job:
    """The engine was asked to start a seat again."""
    held = job.allocation
    if held is None or held.id != allocation or held.seats[number].state is not SeatState.ENDED:
        return job
    return _with_seat(job, number, held.seats[number].asked_again(), now)


def note_waiting(job: Job, waiting: Waiting) -> Job:
    """The engine says what the missing seats wait for."""
    held = job.allocation
    if held is None or held.id != waiting.allocation:
        return job
    said = {"cause": waiting.cause, "sentence": waiting.sentence}
    return _with_allocation(job, held.model_copy(update=said))


def note_seat_end(job: Job, ended: SeatEnded, now: float) -> Job:
    """The engine says why the machine of a seat ended. Whether its worker is lost is not decided here.

    A seat whose machine ends again and again before its worker has registered ends the job.
    """
    held = job.allocation
    if held is None or held.id != ended.allocation or ended.seat >= len(held.seats):
        return job
    seat = held.seats[ended.seat]
    joined = seat.start == ended.start
    if ended.start in seat.former_starts or (seat.state is SeatState.UP and not joined):
        return job
    failures = seat.failures + int(not joined)
    state = seat.state
    if state is SeatState.WAITING and not joined and not ended.replaced:
        state = SeatState.ENDED
    told = {"sentence": ended.sentence, "failures": failures, "state": state}
    job = _with_seat(job, ended.seat, seat.model_copy(update=told), now)
    job = emit(
        job, "allocation.seat_ended", now, allocation=held.id, seat=ended.seat, cause=ended.cause.value,
        sentence=ended.sentence,
    )  # fmt: skip
    if joined and not job.status.terminal:
        return warn(job, f"Seat {ended.seat}: {ended.sentence}", now)
    if failures >= _FAILED_STARTS and job.status is JobStatus.QUEUED:
        return finish(job, EndReason.ENVIRONMENT_FAILED, _cannot_join(ended), now)
    return note_sentence(job, ended.sentence)


def note_seat_start(job: Job, started: SeatUp, now: float) -> Job:
    """The engine says that the machine of a seat runs; its worker registers in a moment."""
    held = job.allocation
    if held is None or held.id != started.allocation or started.seat >= len(held.seats):
        return job
    seat = held.seats[started.seat]
    if started.start == seat.start or started.start in seat.former_starts:
        return job
    return emit(job, "allocation.seat_started", now, allocation=held.id, seat=started.seat)


def note_sentence(job: Job, sentence: str) -> Job:
    """Say what the job waits for."""
    return job if job.allocation is None else _with_allocation(job, _said(job.allocation, sentence))


def _said(allocation: Allocation, sentence: str) -> Allocation:
    return allocation.model_copy(update={"sentence": sentence})


def _cannot_join(ended: SeatEnded) -> str:
    words = f"its workers ended {_FAILED_STARTS} times before they had registered. The last one: {ended.sentence}"
    return EndReason.ENVIRONMENT_FAILED.explain(error=words.rstrip("."))


def give_back(job: Job, now: float, because: str = "") -> Job:
    """The allocation is to be released. An attempt that is under way on it is not ended here."""
    held = job.allocation
    if held is None:
        return job
    job = job.model_copy(update={"allocation": None, "releasing": (*job.releasing, held.id)})
    return emit(job, "allocation.released", now, allocation=held.id, because=because)


def over(job: Job, observed: Over, now: float) -> Job:
    """Nothing of an allocation is left, whether it was released or not."""
    if job.allocation is not None and job.allocation.id == observed.allocation:
        job = give_back(job, now, observed.sentence)
    if observed.allocation not in job.releasing:
        return job
    return job.model_copy(update={"releasing": tuple(one for one in job.releasing if one != observed.allocation)})


def _with_seat(job: Job, number: int, seat: Seat, now: float) -> Job:
    held = job.allocation
    if held is None:
        return job
    seats = (*held.seats[:number], seat, *held.seats[number + 1 :])
    missing = any(one.state is not SeatState.UP for one in seats)
    changes: dict[str, Any] = {"seats": seats, "waits_since": (held.waits_since or now) if missing else None}
    if not missing:
        changes |= {"cause": None, "sentence": ""}
    return _with_allocation(job, held.model_copy(update=changes))


def _with_allocation(job: Job, allocation: Allocation) -> Job:
    return job if allocation == job.allocation else job.model_copy(update={"allocation": allocation})


def _id(job: Job) -> str:
    return job.allocation.id if job.allocation is not None else ""
