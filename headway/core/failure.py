"""The first thing that went wrong in an attempt, and how people are told of it."""

from __future__ import annotations

from headway.core.end_reason import EndReason
from headway.core.frozen import Frozen
from headway.core.worker import WorkerLoad


class Failure(Frozen):
    """The first thing that went wrong in an attempt, and where."""

    reason: EndReason
    """What went wrong."""
    worker: str
    """The id of the worker where it did."""
    worker_name: str
    """The worker's name, for people."""
    at: float
    """When the server heard of it, in seconds since the epoch."""
    rank: int | None = None
    """The rank, if it was one."""
    exit_code: int | None = None
    """The exit code of the rank's process."""
    signal: str | None = None
    """The signal that ended it, such as SIGKILL."""
    error: str | None = None
    """What was raised or said."""
    hint: str | None = None
    """What else happened there that may be why."""
    memory_curve: tuple[tuple[float, int], ...] = ()
    """What the rank held over time, as (seconds since the epoch, bytes). The last is its peak."""
    worker_load: WorkerLoad | None = None
    """What was used of the worker's machine then."""
    traceback: str | None = None
    """Where it was raised."""
    log_tail: tuple[str, ...] = ()
    """The last lines that the rank printed."""
    step: int | None = None
    """The last step that had been logged."""

    @property
    def likely_cause(self) -> str:
        """What is likely to have sent a signal of which nothing else is known: the kernel sends SIGKILL only."""
        if self.signal == "SIGKILL":
            return f"perhaps because worker {self.worker_name} ran out of memory"
        return "not by Headway, but perhaps by the script itself, a user or a batch system"


def explain_end(reason: EndReason, failure: Failure | None, **facts: str | int | None) -> str:
    """The sentence of `reason` for a person, with the failure's facts, or those given, filled in."""
    if failure is None:
        return reason.explain(**facts)
    known = {
        "rank": failure.rank,
        "worker": failure.worker_name,
        "exit_code": failure.exit_code,
        "signal": failure.signal,
        "step": failure.step,
        "hint": failure.hint or failure.likely_cause,
        "error": failure.error and failure.error.rstrip("."),
    }
    return reason.explain(**{**known, **facts})
