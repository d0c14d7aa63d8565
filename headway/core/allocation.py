"""The machines of one job: an allocation and its seats, and what an engine observes of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from headway.core.frozen import Frozen

FLEET = "fleet"
"""The engine whose workers register themselves: its jobs are placed on the free fleet and have no allocation."""
LARGEST_SEATS = 10_000
_FORMER_STARTS = 8
"""So many starts of a seat are remembered: of older ones no process is left."""


class SeatState(StrEnum):
    """`waiting`: asked for, its worker has not registered. `up`: its worker is registered. `ended`: it is gone, and the
    engine is to be asked for another."""

    WAITING = "waiting"
    UP = "up"
    ENDED = "ended"


class Seat(Frozen):
    """The place of one worker. Its number is its position in the allocation, from 0."""

    state: SeatState = SeatState.WAITING
    """How far it is."""
    worker: str | None = None
    """The id of its worker, while it is up."""
    start: str | None = None
    """Which start of the seat the worker belongs, or belonged, to: as the worker said when it registered."""
    former_starts: tuple[str, ...] = ()
    """Starts that a newer one has ended, the newest first: their workers are refused."""
    failures: int = 0
    """How often it ended since a worker of it last registered."""
    sentence: str = ""
    """Why it ended last, in the engine's words."""

    def taken_by(self, worker: str, start: str) -> Seat:
        """The seat, once a worker of a start has registered for it."""
        former = self.former_starts
        if self.start is not None and self.start != start:
            former = (self.start, *former)[:_FORMER_STARTS]
        changes = {"worker": worker, "start": start, "former_starts": former, "failures": 0, "sentence": ""}
        return self.model_copy(update={"state": SeatState.UP, **changes})


class AllocationState(StrEnum):
    """`requested`: some seat is not up yet, or not again. `up`: the workers of all seats are registered."""

    REQUESTED = "requested"
    UP = "up"


class WaitingCause(StrEnum):
    """What a seat waits for. Only `room` says that other jobs, or others in the cluster, hold what it needs."""

    ROOM = "room"
    QUOTA = "quota"
    IMAGE = "image"
    MISSING = "missing"
    STARTING = "starting"
    ENGINE = "engine"


class SeatEndCause(StrEnum):
    """Why the machine of a seat ended. `not_joined`: its program ended before its worker had registered."""

    EXITED = "exited"
    NOT_JOINED = "not_joined"
    OUT_OF_MEMORY = "out_of_memory"
    PREEMPTED = "preempted"
    EVICTED = "evicted"
    NODE_LOST = "node_lost"
    DELETED = "deleted"
    UNKNOWN = "unknown"


class Allocation(Frozen):
    """The machines of one job, kept over its attempts until the job has ended, is paused, or they are given back.

    Times are seconds since the epoch.
    """

    id: str
    """Its name at the engine: a DNS label of at most 40 characters that no other allocation ever has."""
    engine: str
    """The engine that it is from."""
    seats: tuple[Seat, ...] = Field(min_length=1, max_length=LARGEST_SEATS)
    """Its seats, by number."""
    slots_per_seat: int = Field(ge=1)
    """How many ranks each seat can run."""
    requested_at: float
    """When it was asked for first."""
    waits_since: float | None = None
    """Since when a seat is missing; None while it is up."""
    cause: WaitingCause | None = None
    """What the missing seats wait for, as far as the engine said so."""
    sentence: str = ""
    """The same in the engine's own words."""

    @property
    def state(self) -> AllocationState:
        """Whether all its seats are up."""
        up = all(seat.state is SeatState.UP for seat in self.seats)
        return AllocationState.UP if up else AllocationState.REQUESTED

    @property
    def workers(self) -> tuple[str, ...]:
        """The ids of its workers, by seat, of those seats that are up."""
        return tuple(seat.worker for seat in self.seats if seat.worker is not None)

    def seat_of(self, worker: str) -> int | None:
        """The number of the seat that a worker has."""
        return next((number for number, seat in enumerate(self.seats) if seat.worker == worker), None)


@dataclass(frozen=True)
class Waiting:
    """Seats of an allocation wait. `sentence`: the engine's own words, one sentence that a user can act on.

    To be told once for each change of cause or sentence, not again and again.
    """

    allocation: str
    cause: WaitingCause
    sentence: str


@dataclass(frozen=True)
class SeatUp:
    """The machine of a seat runs, so that its worker can be expected. The worker's registration is what counts."""

    allocation: str
    seat: int
    start: str


@dataclass(frozen=True)
class SeatEnded:
    """The machine of a seat has ended, or is gone.

    `start`: which start of the seat it was; one that is not the newest any more is of no consequence.
    `certain`: no process of it can run any more. Otherwise, as with a node that does not answer, or an object that was
    deleted by force, the lease of the worker decides.
    `sentence`: why, in the engine's own words, with the last lines of its output where it did not join.
    `replaced`: the engine starts the seat again by itself; otherwise it waits for `replace`.
    """

    allocation: str
    seat: int
    start: str
    cause: SeatEndCause
    sentence: str
    certain: bool
    replaced: bool = False


@dataclass(frozen=True)
class Over:
    """Nothing of the allocation exists any more, and nothing of it can start: told after its release, and when others
    deleted it. `sentence`: why, where it was not released."""

    allocation: str
    sentence: str = ""


Observation = Waiting | SeatUp | SeatEnded | Over
"""What an engine says of its allocations."""
