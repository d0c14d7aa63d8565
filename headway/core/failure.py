"""The first failure of an attempt, and its sentence for people."""

from __future__ import annotations

from headway.core.end_reason import EndReason
from headway.core.frozen import Frozen
from headway.core.worker import WorkerLoad

_SHORT_OF_MEMORY = 0.9
"""The used share of a machine's memory above which the kernel may have killed a process."""


class Failure(Frozen):
    """The first failure of an attempt."""

    reason: EndReason
    """What failed."""
    worker: str
    """The id of the worker where it failed."""
    worker_name: str
    """The worker's name, for people."""
    at: float
    """When the server received the report, in seconds since the epoch."""
    rank: int | None = None
    """The rank that failed; None if it was no rank."""
    exit_code: int | None = None
    """The exit code of the rank's process."""
    signal: str | None = None
    """The signal that ended it, such as SIGKILL."""
    error: str | None = None
    """The exception, or the error message."""
    hint: str | None = None
    """What else happened on the worker that may be the cause."""
    memory_curve: tuple[tuple[float, int], ...] = ()
    """The rank's memory over time, as (seconds since the epoch, bytes). The last point is its peak."""
    worker_load: WorkerLoad | None = None
    """The load of the worker's machine at that time."""
    traceback: str | None = None
    """The traceback of the exception."""
    log_tail: tuple[str, ...] = ()
    """The last lines that the rank printed."""
    step: int | None = None
    """The last logged step."""

    @property
    def likely_cause(self) -> str:
        """The likely sender of an unexplained signal. The kernel itself sends only SIGKILL, when memory is short."""
        if self.signal == "SIGKILL" and not self._memory_was_free:
            return f"perhaps because worker {self.worker_name} ran out of memory"
        return "not by Headway; perhaps by the script itself, a user or a batch system"

    @property
    def _memory_was_free(self) -> bool:
        """Whether the machine had memory left even before the rank's own was freed."""
        load = self.worker_load
        if load is None or not self.memory_curve:
            return False
        own = max(used for _, used in self.memory_curve)
        return load.memory_used_bytes + own < _SHORT_OF_MEMORY * load.memory_bytes


def explain_end(reason: EndReason, failure: Failure | None, **facts: str | int | None) -> str:
    """The sentence of `reason` for a person. Given facts replace those of the failure."""
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
