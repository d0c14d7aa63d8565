"""Where an assignment stands on its worker, with the moves that are allowed. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf, isfinite


class Phase(StrEnum):
    """What a worker does for an assignment now. `docs/internals/worker.md` says what ends each phase."""

    CLAIMING = "claiming"
    """Asks the server for the assignment, and looks for slots and for a place for its reports."""
    PREPARING = "preparing"
    """Makes ready what the ranks need: working directory, checkpoint, dataset, environment."""
    MEETING = "meeting"
    """Waits until the workers of all ranks have claimed: rank 0's address is known then."""
    LAUNCHING = "launching"
    """Has the forkserver start a launcher, which starts the ranks."""
    RUNNING = "running"
    """The ranks run. Their output is reported, and what they save is sent."""
    WRITING_STACKS = "writing_stacks"
    """The job has stalled: the ranks write down where they are, on all workers, before any of them is ended."""
    STOPPING = "stopping"
    """The ranks were asked to end, and run until they do or are killed."""
    STORING = "storing"
    """No rank is left. What they saved and wrote is sent."""
    RELEASING = "releasing"
    """What the assignment used is given back, and the last report is written."""
    ENDED = "ended"
    """The last report is in the spool; or the assignment was never this worker's."""

    @property
    def held(self) -> bool:
        """Whether the worker holds the assignment: it has claimed it, and has not ended it."""
        return self not in (Phase.CLAIMING, Phase.ENDED)

    @property
    def busy(self) -> bool:
        """Whether the worker itself has work to do for it, for which the server grants more time."""
        return self in (Phase.PREPARING, Phase.STORING)


PHASE_TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.CLAIMING: frozenset({Phase.PREPARING, Phase.ENDED}),
    Phase.PREPARING: frozenset({Phase.MEETING, Phase.RELEASING, Phase.ENDED}),
    Phase.MEETING: frozenset({Phase.LAUNCHING, Phase.RELEASING, Phase.ENDED}),
    Phase.LAUNCHING: frozenset({Phase.RUNNING, Phase.STOPPING, Phase.RELEASING, Phase.ENDED}),
    Phase.RUNNING: frozenset({Phase.WRITING_STACKS, Phase.STOPPING, Phase.STORING, Phase.RELEASING, Phase.ENDED}),
    Phase.WRITING_STACKS: frozenset({Phase.STOPPING, Phase.STORING, Phase.RELEASING, Phase.ENDED}),
    Phase.STOPPING: frozenset({Phase.STORING, Phase.RELEASING, Phase.ENDED}),
    Phase.STORING: frozenset({Phase.RELEASING, Phase.ENDED}),
    Phase.RELEASING: frozenset({Phase.ENDED}),
    Phase.ENDED: frozenset(),
}
"""An error in any phase leads to RELEASING. A worker that shuts down cuts off what outlives all limits: ENDED."""


@dataclass(frozen=True)
class StopRequest:
    """The ranks are to end, also if they have not started."""

    grace_seconds: float
    """What ranks have to save and end before they are killed."""
    store_seconds: float = inf
    """How long what they left may be sent, once they have ended."""
    worker_stops: bool = False
    """The worker itself shuts down; else it is for the job."""

    def joined(self, other: StopRequest) -> StopRequest:
        """What two requests ask for together: the shorter times."""
        return StopRequest(
            min(self.grace_seconds, other.grace_seconds),
            min(self.store_seconds, other.store_seconds),
            self.worker_stops or other.worker_stops,
        )


@dataclass(frozen=True)
class Course:
    """How far an assignment has come, and whether it is to stop. `now` is seconds on a monotonic clock."""

    phase: Phase = Phase.CLAIMING
    stop: StopRequest | None = None
    store_until: float = inf
    """When sending what the ranks left is broken off."""

    @property
    def abandoned(self) -> bool:
        """Whether what the ranks left may be broken off before it is sent."""
        return isfinite(self.store_until)


def enter(course: Course, phase: Phase, now: float) -> Course:
    """Enter a phase. Raises ValueError for a move that is not in PHASE_TRANSITIONS."""
    if phase not in PHASE_TRANSITIONS[course.phase]:
        raise ValueError(f"an assignment cannot go from {course.phase} to {phase}")
    course = replace(course, phase=phase)
    return course if course.stop is None else _limited(course, course.stop, now)


def launch(course: Course, now: float) -> Course:
    """The launcher has its plan. It is told to stop at once if that was asked for meanwhile."""
    return enter(course, Phase.RUNNING if course.stop is None else Phase.STOPPING, now)


def ask_to_stop(course: Course, request: StopRequest, now: float) -> Course:
    """Have the ranks end. What comes before their start is skipped; what they leave is stored as long as it may be."""
    if course.phase is Phase.ENDED:
        return course
    course = replace(course, stop=request if course.stop is None else course.stop.joined(request))
    if course.phase in (Phase.RUNNING, Phase.WRITING_STACKS):
        return enter(course, Phase.STOPPING, now)
    return _limited(course, request, now)


def write_stacks(course: Course, now: float) -> Course:
    """Have running ranks write down where they are; a request to stop follows. Ranks that end anyway are left alone."""
    return enter(course, Phase.WRITING_STACKS, now) if course.phase is Phase.RUNNING else course


def _limited(course: Course, request: StopRequest, now: float) -> Course:
    if course.phase is not Phase.STORING:
        return course
    return replace(course, store_until=min(course.store_until, now + request.store_seconds))
