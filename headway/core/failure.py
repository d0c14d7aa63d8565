"""The first thing that went wrong in an attempt, and how people are told of it."""

from __future__ import annotations

from headway.core.end_reason import EndReason
from headway.core.frozen import Frozen
from headway.core.worker import WorkerLoad


class Failure(Frozen):
    """The first thing that went wrong in an attempt, and where. `step`: the last that had been logged.

    `hint`: what else happened there that may be why. `memory_curve`: what the rank held over time, as (seconds since
    the epoch, bytes); the last is its peak. `worker_load`: what was used of its machine then.
    """

    reason: EndReason
    worker: str
    worker_name: str
    at: float
    rank: int | None = None
    exit_code: int | None = None
    signal: str | None = None
    error: str | None = None
    hint: str | None = None
    memory_curve: tuple[tuple[float, int], ...] = ()
    worker_load: WorkerLoad | None = None
    traceback: str | None = None
    log_tail: tuple[str, ...] = ()
    step: int | None = None

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
