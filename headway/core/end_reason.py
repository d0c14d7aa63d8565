"""Why an attempt ended. The last attempt's reason is also the job's."""

from __future__ import annotations

from enum import StrEnum

from headway.core.status import JobStatus


class Blame(StrEnum):
    """Who has to change something so that this end does not happen again."""

    NONE = "none"
    USER = "user"
    INFRASTRUCTURE = "infrastructure"
    PLATFORM = "platform"


class EndReason(StrEnum):
    """Why an attempt ended: the status that a job gets from it, who is to blame, and a sentence.

    `retryable`: another attempt may succeed. `counted`: the attempt uses up one of the job's retries.
    """

    status: JobStatus
    blame: Blame
    retryable: bool
    counted: bool
    sentence: str

    def __new__(
        cls, value: str, status: JobStatus, blame: Blame, retryable: bool, counted: bool, sentence: str
    ) -> EndReason:
        member = str.__new__(cls, value)
        member._value_ = value
        member.status = status
        member.blame = blame
        member.retryable = retryable
        member.counted = counted
        member.sentence = sentence
        return member

    COMPLETED = ("completed", JobStatus.SUCCEEDED, Blame.NONE, False, False, "All ranks finished.")
    CANCELLED = ("cancelled", JobStatus.CANCELLED, Blame.NONE, False, False, "Cancelled on request.")
    PAUSED = ("paused", JobStatus.QUEUED, Blame.NONE, True, False, "Paused on request.")
    CHECKPOINT_LOST = (
        "checkpoint_lost", JobStatus.FAILED, Blame.INFRASTRUCTURE, False, True,
        "The job starts from another job's checkpoint, and no complete one is left: {error}",
    )  # fmt: skip
    SAME_STEP = (
        "same_step", JobStatus.FAILED, Blame.USER, False, True,
        "Three attempts in a row failed at step {step}. Look at what that step does. The last failure: {sentence}",
    )  # fmt: skip
    STALLED = (
        "stalled", JobStatus.FAILED, Blame.PLATFORM, True, True,
        "No progress since step {step} ({error}). The stacks of all ranks are among the artifacts.",
    )  # fmt: skip
    SCRIPT_RAISED = (
        "script_raised", JobStatus.FAILED, Blame.USER, False, True,
        "Rank {rank} raised {error}.",
    )  # fmt: skip
    SCRIPT_EXITED = (
        "script_exited", JobStatus.FAILED, Blame.USER, False, True,
        "Rank {rank} exited with code {exit_code}. Its last lines are in the log.",
    )  # fmt: skip
    RANK_CRASHED = (
        "rank_crashed", JobStatus.FAILED, Blame.USER, False, True,
        "Rank {rank} crashed with {signal}. Its stack is at the end of the log.",
    )  # fmt: skip
    RANK_KILLED = (
        "rank_killed", JobStatus.FAILED, Blame.INFRASTRUCTURE, True, True,
        "Rank {rank} was killed with {signal} from outside: {hint}.",
    )  # fmt: skip
    RANK_LEFT = (
        "rank_left", JobStatus.FAILED, Blame.INFRASTRUCTURE, True, True,
        "Rank {rank} exited after a signal that Headway did not send.",
    )  # fmt: skip
    PEER_LOST = (
        "peer_lost", JobStatus.FAILED, Blame.INFRASTRUCTURE, True, True,
        "Rank {rank} lost the connection to another rank: {error}.",
    )  # fmt: skip
    WORKER_LOST = (
        "worker_lost", JobStatus.FAILED, Blame.INFRASTRUCTURE, True, True,
        "Worker {worker} was lost with its ranks.",
    )  # fmt: skip
    PREPARE_FAILED = (
        "prepare_failed", JobStatus.FAILED, Blame.INFRASTRUCTURE, True, True,
        "Worker {worker} could not prepare the attempt: {error}.",
    )  # fmt: skip
    WORKER_FAULTY = (
        "worker_faulty", JobStatus.FAILED, Blame.INFRASTRUCTURE, True, True,
        "Worker {worker} cannot start ranks: {error}.",
    )  # fmt: skip
    PREPARE_TIMED_OUT = (
        "prepare_timed_out", JobStatus.FAILED, Blame.INFRASTRUCTURE, True, True,
        "Worker {worker} claimed its ranks but did not start them in time.",
    )  # fmt: skip
    RANKS_VANISHED = (
        "ranks_vanished",
        JobStatus.FAILED,
        Blame.PLATFORM,
        True,
        True,
        "Worker {worker} lost its launcher and the ranks. See the worker's log.",
    )
    WORKER_FAILED = (
        "worker_failed", JobStatus.FAILED, Blame.PLATFORM, True, True,
        "Worker {worker} could not finish the attempt: {error}. See the worker's log.",
    )  # fmt: skip
    OUT_OF_MEMORY = (
        "out_of_memory", JobStatus.FAILED, Blame.USER, False, True,
        "Rank {rank} ran out of memory: {error}.",
    )  # fmt: skip
    TIMED_OUT = (
        "timed_out", JobStatus.FAILED, Blame.USER, False, True,
        "The job's time limit passed. Submit it again with a larger --timeout.",
    )  # fmt: skip
    ENVIRONMENT_FAILED = (
        "environment_failed", JobStatus.FAILED, Blame.USER, False, True,
        "The job's environment cannot be used: {error}.",
    )  # fmt: skip
    INPUT_UNUSABLE = (
        "input_unusable", JobStatus.FAILED, Blame.USER, False, True,
        "The job's input cannot be used: {error}.",
    )  # fmt: skip
    WORKER_STOPPED = (
        "worker_stopped", JobStatus.FAILED, Blame.INFRASTRUCTURE, True, False,
        "Worker {worker} was shut down.",
    )  # fmt: skip
    DRAINED = (
        "drained", JobStatus.FAILED, Blame.NONE, True, False,
        "Worker {worker} is being drained, so the job continues elsewhere.",
    )  # fmt: skip
    ASSIGNMENT_REFUSED = (
        "assignment_refused", JobStatus.FAILED, Blame.PLATFORM, True, False,
        "Worker {worker} had no free slots.",
    )  # fmt: skip
    ASSIGNMENT_IGNORED = (
        "assignment_ignored", JobStatus.FAILED, Blame.INFRASTRUCTURE, True, False,
        "Worker {worker} did not claim its ranks in time.",
    )  # fmt: skip

    @property
    def consequence(self) -> bool:
        """Whether it may be a consequence of another rank's or worker's end. The cause replaces it once it is known."""
        return self in (EndReason.PEER_LOST, EndReason.RANK_LEFT)

    @property
    def saves(self) -> bool:
        """Whether the ranks get time to save, because the job continues from there."""
        return self in (EndReason.PAUSED, EndReason.DRAINED, EndReason.WORKER_STOPPED)

    @property
    def of_worker(self) -> bool:
        """Whether it is the worker's own fault. The first such faults in a row cost the job no retry."""
        return self in (EndReason.WORKER_FAULTY, EndReason.RANKS_VANISHED)

    def explain(self, **facts: str | int | None) -> str:
        """The sentence for a person, with the facts filled in.

        An unknown fact is shown as "(not known)", never as a placeholder.
        """
        told = {name: value for name, value in facts.items() if value is not None}
        return self.sentence.format_map({**_NOT_KNOWN, **told})


_NOT_KNOWN = {
    "rank": "(not known)",
    "worker": "(not known)",
    "exit_code": "(not known)",
    "signal": "a signal",
    "step": "(not known)",
    "hint": "the cause is not known",
    "error": "the cause is not known",
    "sentence": "The cause is not known.",
}
"""The text in a sentence for a fact that was not reported."""

_OUTSIDE_SIGNALS = frozenset({"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"})


def classify_rank_end(
    *, signal: str | None, raised: bool, secondary: bool, out_of_memory: bool, environment: bool
) -> EndReason:
    """Why a rank ended before it finished.

    `secondary` marks an exception that another rank's end caused (a collective that lost its peer).
    """
    if environment:
        return EndReason.ENVIRONMENT_FAILED
    if out_of_memory:
        return EndReason.OUT_OF_MEMORY
    if raised:
        return EndReason.PEER_LOST if secondary else EndReason.SCRIPT_RAISED
    if signal is None:
        return EndReason.SCRIPT_EXITED
    return EndReason.RANK_KILLED if signal in _OUTSIDE_SIGNALS else EndReason.RANK_CRASHED
