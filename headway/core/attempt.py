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
"""Of attempts, reports and events; every database has room for it."""


class Assignment(Frozen):
    """Worker `worker` runs ranks `first_rank` to `first_rank + rank_count - 1`.

    `applied` is the number of the last report whose facts are in the job; `last_number` that of the worker's last
    report, once it is known; `never_met`: none of its ranks connected to another; `lost`: released because its worker
    is gone. `left_ranks` exited with 0 after Headway had asked them to end: whether their work was done, only the
    script can say. `counted_finished`: further ranks that finished, of a job stored by a version that counted them.
    """

    worker: str
    worker_name: str
    first_rank: int
    rank_count: int
    state: AssignmentState = AssignmentState.OFFERED
    endpoint: str | None = None
    applied: int = 0
    last_number: int | None = None
    started_ranks: int = 0
    finished_ranks: tuple[int, ...] = ()
    counted_finished: int = 0
    left_ranks: tuple[int, ...] = ()
    ended_ranks: int = 0
    outputs_stored: bool = False
    never_met: bool = False
    lost: bool = False

    @property
    def ranks(self) -> range:
        """The ranks that the worker runs."""
        return range(self.first_rank, self.first_rank + self.rank_count)

    @model_validator(mode="before")
    @classmethod
    def _finished_ranks_were_counted(cls, value: Any) -> Any:
        """Jobs that were stored before ranks were told apart have a number there: which ranks it counts is unknown."""
        if isinstance(value, dict) and isinstance(value.get("finished_ranks"), int):
            return {**value, "finished_ranks": (), "counted_finished": value["finished_ranks"]}
        return value

    def finished(self, *, said: bool) -> bool:
        """Whether the script of every rank was through; `said`: it said so, which counts for ranks that left."""
        named = {*self.finished_ranks, *(self.left_ranks if said else ())}
        return len({*self.ranks} - named) <= self.counted_finished

    def done(self, *, said: bool) -> bool:
        """Whether all its ranks finished, and all that they left is stored."""
        return self.outputs_stored and self.finished(said=said)

    @property
    def streams_missing(self) -> bool:
        """Whether reports of this assignment may still be on their way."""
        return self.state is AssignmentState.RELEASED and self.lost and self.last_number is None


class Attempt(Frozen):
    """One start of all ranks. Its number is the fence for facts.

    `kill`: its ranks are stopped without a grace time. `saving`: checkpoints, by step, whose parts are not all stored.
    `offered_step`: the step of the checkpoint that it was given; `restored_step`: of the one that its ranks loaded,
    which was saved at `restored_saved_at` by the worker's clock; not `restored_certain`: its files were there, and
    nobody can tell whether they were read; `restored_counted`: that step is a count. `continued_from`: when the newest
    file was written of those that its ranks read of what earlier attempts had left in the working directory, by the
    worker's clock. `decision`: which rule decided what followed its end. `said_finished`: the script gave its result,
    or logged the last of the steps that it had declared. `asks_to_save`: it asks `run.should_save`, so it saves when it
    is stopped. `warned_of_files`: it was said that it starts without the files that the attempt before left on other
    workers.
    """

    number: int
    placed_at: float
    assignments: tuple[Assignment, ...]
    started_at: float | None = None
    ended_at: float | None = None
    reason: EndReason | None = None
    failure: Failure | None = None
    decision: str | None = None
    warnings: tuple[str, ...] = ()
    stages: dict[str, float] = {}
    total_steps: int | None = None
    kill: bool = False
    saving: dict[int, Saving] = {}
    offered_step: int | None = None
    restored_step: int | None = None
    restored_certain: bool = True
    restored_counted: bool = False
    restored_saved_at: float | None = None
    continued_from: float | None = None
    said_finished: bool = False
    asks_to_save: bool = False
    warned_of_files: bool = False

    @property
    def world_size(self) -> int:
        """How many ranks the attempt has."""
        return sum(assignment.rank_count for assignment in self.assignments)

    @property
    def finished(self) -> bool:
        """Whether every rank's script was through, and all that they left is stored."""
        return all(assignment.done(said=self.said_finished) for assignment in self.assignments)

    @property
    def all_finished(self) -> bool:
        """Whether every rank's script returned; what is left is the end of the processes, and storing."""
        return all(assignment.finished(said=self.said_finished) for assignment in self.assignments)

    @property
    def started(self) -> bool:
        """Whether every rank's process was started."""
        return sum(assignment.started_ranks for assignment in self.assignments) == self.world_size

    @property
    def all_claimed(self) -> bool:
        """Whether every worker has claimed, so that ranks may start; it stays so when the first ranks have ended."""
        return all(assignment.endpoint is not None for assignment in self.assignments)

    @property
    def endpoint(self) -> str | None:
        """`host:port` of the rendezvous store, which rank 0's worker bound."""
        return next((assignment.endpoint for assignment in self.assignments if assignment.first_rank == 0), None)

    def assignment_of(self, worker: str) -> Assignment | None:
        """The share of `worker`, or None if it has none."""
        return next((assignment for assignment in self.assignments if assignment.worker == worker), None)
