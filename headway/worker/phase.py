"""The phases of an assignment on its worker, and the allowed transitions. Pure: no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf, isfinite


class Phase(StrEnum):
    """What a worker does for an assignment now. `docs/internals/worker.md` describes what ends each phase."""

    CLAIMING = "claiming"
    """Claims the assignment at the server, and gets slots and a place for its reports."""
    PREPARING = "preparing"
    """Prepares what the ranks need: working directory, checkpoint, dataset, environment."""
    MEETING = "meeting"
    """Waits until the workers of all ranks have claimed. Then rank 0's address is known."""
    LAUNCHING = "launching"
    """Lets the forkserver start a launcher, which starts the ranks."""
    RUNNING = "running"
    """The ranks run. Their output is reported, and saved checkpoints are sent."""
    WRITING_STACKS = "writing_stacks"
    """The job has stalled: the ranks on all workers write their stacks before any of them is ended."""
    STOPPING = "stopping"
    """The ranks were asked to end, and run until they do or are killed."""
    STORING = "storing"
    """All ranks have ended. Their checkpoints and outputs are sent."""
    RELEASING = "releasing"
    """Slots and data are released, and the last report is written."""
    ENDED = "ended"
    """The last report is in the spool, or this worker never had the assignment."""

    @property
    def held(self) -> bool:
        """Whether the worker holds the assignment: it has claimed and not ended it."""
        return self not in (Phase.CLAIMING, Phase.ENDED)

    @property
    def busy(self) -> bool:
        """Whether the worker itself works for the assignment. The server grants more time for that."""
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
"""An error in any phase leads to RELEASING. A worker that shuts down ends phases that exceed all limits: ENDED."""


@dataclass(frozen=True)
class StopRequest:
    """A request to end the ranks, even if they have not started."""

    grace_seconds: float
    """The time that ranks have to save and end before they are killed."""
    store_seconds: float = inf
    """The time to send their outputs after they have ended."""
    worker_stops: bool = False
    """Whether the worker shuts down; otherwise only the job has to stop."""

    def joined(self, other: StopRequest) -> StopRequest:
        """Both requests in one, with the shorter times."""
        return StopRequest(
            min(self.grace_seconds, other.grace_seconds),
            min(self.store_seconds, other.store_seconds),
            self.worker_stops or other.worker_stops,
        )


@dataclass(frozen=True)
class Course:
    """The state of an assignment: its phase, and whether it has to stop. Times are seconds on a monotonic clock."""

    phase: Phase = Phase.CLAIMING
    stop: StopRequest | None = None
    store_until: float = inf
    """When sending the ranks' outputs stops."""

    @property
    def abandoned(self) -> bool:
        """Whether sending the ranks' outputs may be cut off."""
        return isfinite(self.store_until)


def enter(course: Course, phase: Phase, now: float) -> Course:
    """Enter a phase. Raises ValueError for a move that is not in PHASE_TRANSITIONS."""
    if phase not in PHASE_TRANSITIONS[course.phase]:
        raise ValueError(f"an assignment cannot go from {course.phase} to {phase}")
    course = replace(course, phase=phase)
    return course if course.stop is None else _limited(course, course.stop, now)


def launch(course: Course, now: float) -> Course:
    """The launcher has its plan. If a stop was requested meanwhile, it is told to stop at once."""
    return enter(course, Phase.RUNNING if course.stop is None else Phase.STOPPING, now)


def ask_to_stop(course: Course, request: StopRequest, now: float) -> Course:
    """End the ranks. Phases before their start are skipped. Their outputs are stored within the time limit."""
    if course.phase is Phase.ENDED:
        return course
    course = replace(course, stop=request if course.stop is None else course.stop.joined(request))
    if course.phase in (Phase.RUNNING, Phase.WRITING_STACKS):
        return enter(course, Phase.STOPPING, now)
    return _limited(course, request, now)


def write_stacks(course: Course, now: float) -> Course:
    """Let running ranks write their stacks; a stop request follows. Ranks that are already ending are left alone."""
    return enter(course, Phase.WRITING_STACKS, now) if course.phase is Phase.RUNNING else course


def _limited(course: Course, request: StopRequest, now: float) -> Course:
    if course.phase is not Phase.STORING:
        return course
    return replace(course, store_until=min(course.store_until, now + request.store_seconds))
