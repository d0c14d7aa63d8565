"""The machines of one job: an allocation with its seats, and an engine's observations of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field

from headway.core.frozen import Frozen

FLEET = "fleet"
"""The engine whose workers register themselves: its jobs are placed on the free fleet and have no allocation."""
LARGEST_SEATS = 10_000
_FORMER_STARTS = 8
"""How many starts of a seat are remembered. Older ones have no processes any more."""


class SeatState(StrEnum):
    """`waiting`: requested, but its worker has not registered. `up`: its worker is registered. `ended`: it has ended,
    and the server will request another start."""

    WAITING = "waiting"
    UP = "up"
    ENDED = "ended"


class Seat(Frozen):
    """The place of one worker. Its number is its position in the allocation, from 0."""

    state: SeatState = SeatState.WAITING
    """Its state."""
    worker: str | None = None
    """The id of its worker, while it is up."""
    start: str | None = None
    """The start of the seat to which the worker belongs or belonged, from the worker's registration."""
    call: str | None = None
    """Which registration the worker came by."""
    former_starts: tuple[str, ...] = ()
    """Starts that a newer one has replaced, the newest first. Their workers are refused."""
    failures: int = 0
    """How often it has ended since a worker of it last registered."""
    sentence: str = ""
    """Why it ended last, as the engine reported it."""

    def taken_by(self, worker: str, start: str, call: str) -> Seat:
        """The seat after a worker of a start has registered for it."""
        former = self.former_starts
        if self.start is not None and self.start != start:
            former = (self.start, *former)[:_FORMER_STARTS]
        changes = {
            "worker": worker,
            "start": start,
            "call": call,
            "former_starts": former,
            "failures": 0,
            "sentence": "",
        }
        return self.model_copy(update={"state": SeatState.UP, **changes})

    def asked_again(self) -> Seat:
        """The seat, once the engine was asked to start it again: what is left of its last start is refused."""
        former = self.former_starts if self.start is None else (self.start, *self.former_starts)[:_FORMER_STARTS]
        return self.model_copy(update={"state": SeatState.WAITING, "start": None, "former_starts": former})


class AllocationState(StrEnum):
    """`requested`: some seats are not up. `up`: the workers of all seats are registered."""

    REQUESTED = "requested"
    UP = "up"


class WaitingCause(StrEnum):
    """What a seat waits for. Only `room` means that other jobs or cluster users occupy the machines that it needs."""

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
    """The machines of one job. It keeps them over its attempts until it has ended, is paused, or releases them.

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
    """When it was first requested."""
    waits_since: float | None = None
    """Since when a seat is missing; None while it is up."""
    cause: WaitingCause | None = None
    """What the missing seats wait for, if the engine reported it."""
    sentence: str = ""
    """The same as a sentence from the engine."""

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
        """The number of a worker's seat."""
        return next((number for number, seat in enumerate(self.seats) if seat.worker == worker), None)


@dataclass(frozen=True)
class Waiting:
    """Seats of an allocation wait. `sentence`: the engine's sentence, on which a user can act.

    Report it once for each change of cause or sentence.
    """

    allocation: str
    cause: WaitingCause
    sentence: str


@dataclass(frozen=True)
class SeatUp:
    """The machine of a seat runs, so its worker should register soon. Only the registration counts."""

    allocation: str
    seat: int
    start: str


@dataclass(frozen=True)
class SeatEnded:
    """The machine of a seat has ended, or does not exist any more.

    `start`: the start of the seat; if it is not the newest one, nothing follows. `certain`: no process of it can still
    run. Otherwise the lease of the worker decides, for example if a node does not answer or an object was deleted by
    force. `sentence`: the cause from the engine, with the last lines of output if the machine did not join.
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
    """Nothing of the allocation exists any more, and nothing of it can start. Reported after its release, and when
    others deleted it. `sentence`: the cause, if it was not released."""

    allocation: str
    sentence: str = ""


Observation = Waiting | SeatUp | SeatEnded | Over
"""The observations that an engine reports about its allocations."""
