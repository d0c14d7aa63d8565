"""One start of all ranks of a job, and the share of it that each worker runs."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from headway.core.checkpoint import Saving
from headway.core.end_reason import EndReason
from headway.core.failure import Failure
from headway.core.frozen import Frozen
from headway.core.status import AssignmentState

LARGEST_NUMBER = 2**31 - 1
"""The largest number of an attempt, report or event. Every database can store it."""


class Assignment(Frozen):
    """The share of an attempt that one worker runs."""

    worker: str
    """The id of the worker."""
    worker_name: str
    """Its name, for people."""
    first_rank: int
    """The first of its ranks. Its ranks are consecutive."""
    rank_count: int
    """How many ranks it runs."""
    state: AssignmentState = AssignmentState.OFFERED
    """Its state. Its slots count as used until it is released."""
    endpoint: str | None = None
    """`host:port` on its worker where ranks can meet; rank 0's is used. Known once it is claimed."""
    applied: int = 0
    """The number of the last report whose facts are in the job."""
    last_number: int | None = None
    """The number of the worker's last report, once it is known."""
    started_ranks: int = 0
    """How many ranks were started."""
    finished_ranks: tuple[int, ...] = ()
    """The ranks whose script has finished."""
    counted_finished: int = 0
    """Further ranks that finished, of a job stored by a version that counted them."""
    left_ranks: tuple[int, ...] = ()
    """The ranks that exited with 0 after Headway asked them to end, or that it killed after the result. Only the
    script can tell whether they finished."""
    ended_ranks: int = 0
    """How many processes of ranks have ended."""
    outputs_stored: bool = False
    """Whether all outputs of its ranks are stored."""
    never_met: bool = False
    """Whether none of its ranks connected to another."""
    lost: bool = False
    """Whether it was released because its worker was lost."""

    @property
    def ranks(self) -> range:
        """The ranks that the worker runs."""
        return range(self.first_rank, self.first_rank + self.rank_count)

    @model_validator(mode="before")
    @classmethod
    def _finished_ranks_were_counted(cls, value: Any) -> Any:
        """Older versions stored a count of finished ranks, not the ranks themselves."""
        if isinstance(value, dict) and isinstance(value.get("finished_ranks"), int):
            return {**value, "finished_ranks": (), "counted_finished": value["finished_ranks"]}
        return value

    def finished(self, *, said: bool) -> bool:
        """Whether the script of every rank finished. `said`: the script reported it, so ranks that left count too."""
        named = {*self.finished_ranks, *(self.left_ranks if said else ())}
        return len({*self.ranks} - named) <= self.counted_finished

    def done(self, *, said: bool) -> bool:
        """Whether all its ranks finished and all their outputs are stored."""
        return self.outputs_stored and self.finished(said=said)

    @property
    def streams_missing(self) -> bool:
        """Whether reports of this assignment may still be on their way."""
        return self.state is AssignmentState.RELEASED and self.lost and self.last_number is None


class Attempt(Frozen):
    """One start of all ranks. Times are seconds since the epoch."""

    number: int
    """Counted from 1 within the job. It is the fence for facts."""
    placed_at: float
    """When its workers were chosen."""
    assignments: tuple[Assignment, ...]
    """One assignment per worker."""
    started_at: float | None = None
    """When all its ranks were started."""
    ended_at: float | None = None
    """When its last slot became free."""
    reason: EndReason | None = None
    """Why it ended, or is being ended."""
    failure: Failure | None = None
    """The first failure."""
    decision: str | None = None
    """Whether the job was retried after it, and by which rule, as a sentence."""
    warnings: tuple[str, ...] = ()
    """What the user should know about it."""
    stages: dict[str, float] = {}
    """When each stage, such as `first_step`, was reached first."""
    total_steps: int | None = None
    """How many steps it will make, if its script declared it."""
    kill: bool = False
    """Whether its ranks are stopped without a grace time."""
    saving: dict[int, Saving] = {}
    """Checkpoints whose parts are not all stored, by step."""
    offered_step: int | None = None
    """The step of the checkpoint that it was given."""
    restored_step: int | None = None
    """The step of the checkpoint that its ranks loaded."""
    restored_certain: bool = True
    """Whether they certainly loaded it. If not, its files were available; whether ranks read them is not known."""
    restored_counted: bool = False
    """Whether `restored_step` is a count of saves, because the step was not known."""
    restored_saved_at: float | None = None
    """When that checkpoint was saved, by its worker's clock."""
    continued_from: float | None = None
    """Of the files of earlier attempts that its ranks read, when the newest was written, by the worker's clock."""
    said_finished: bool = False
    """Whether the script recorded a result, or logged the last of its declared steps."""
    asks_to_save: bool = False
    """Whether its script calls `run.should_save`. Such a script saves when it is stopped."""
    warned_of_files: bool = False
    """Whether the user was warned that it lacks files which the previous attempt left on other workers."""

    @property
    def world_size(self) -> int:
        """How many ranks the attempt has."""
        return sum(assignment.rank_count for assignment in self.assignments)

    @property
    def finished(self) -> bool:
        """Whether every rank's script finished and all outputs are stored."""
        return all(assignment.done(said=self.said_finished) for assignment in self.assignments)

    @property
    def all_finished(self) -> bool:
        """Whether every rank's script finished. Processes may still be ending, and outputs may still be uploading."""
        return all(assignment.finished(said=self.said_finished) for assignment in self.assignments)

    @property
    def started(self) -> bool:
        """Whether every rank's process was started."""
        return sum(assignment.started_ranks for assignment in self.assignments) == self.world_size

    @property
    def all_claimed(self) -> bool:
        """Whether every worker has claimed, so that ranks may start. It stays true after ranks have ended."""
        return all(assignment.endpoint is not None for assignment in self.assignments)

    @property
    def endpoint(self) -> str | None:
        """`host:port` of the rendezvous store, which rank 0's worker bound."""
        return next((assignment.endpoint for assignment in self.assignments if assignment.first_rank == 0), None)

    def assignment_of(self, worker: str) -> Assignment | None:
        """The share of `worker`, or None if it has none."""
        return next((assignment for assignment in self.assignments if assignment.worker == worker), None)
