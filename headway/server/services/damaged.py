"""The verbs of damaged rows: list those that were found, delete one."""

from __future__ import annotations

from headway.core.damaged import DamagedRow, RowKind
from headway.database.base import Database
from headway.errors import Conflict, NotFound
from headway.server.access import Action, Caller, require_in_installation
from headway.server.services.artifacts import Artifacts
from headway.server.services.checkpoints import Checkpoints
from headway.server.services.jobs import Jobs


class DamagedRows:
    """Everything else leaves out rows that cannot be read. All jobs are read at the start and once an hour."""

    def __init__(self, database: Database, jobs: Jobs, artifacts: Artifacts, checkpoints: Checkpoints) -> None:
        self._database = database
        self._jobs = jobs
        self._artifacts = artifacts
        self._checkpoints = checkpoints

    @property
    def count(self) -> int:
        """How many were found since the server started."""
        return len(self._database.damage.rows())

    def list(self, caller: Caller, kind: RowKind | None = None) -> list[DamagedRow]:
        """Those that were found since the server started, of one kind or of all."""
        require_in_installation(caller, Action.DAMAGE_READ)
        return self._database.damage.rows(kind)

    async def delete(self, caller: Caller, kind: RowKind, row_id: str) -> None:
        """Delete a damaged row. With a job, everything that belongs to it is deleted.

        Raises NotFound, Conflict for an active job or one whose checkpoints another job needs.
        """
        require_in_installation(caller, Action.DAMAGE_WRITE)
        await self.delete_found(kind, row_id)

    async def delete_found(self, kind: RowKind, row_id: str) -> None:
        """`delete`, after access was checked."""
        row = self._database.damage.find(kind, row_id)
        if row is None:
            raise NotFound(f"There is no damaged row {kind} {row_id}. `headway damaged` lists those that were found.")
        if kind is RowKind.JOB and self._jobs.unsettled.find(row_id) is not None:
            raise Conflict(f"Job {row.name} is active: its next change stores it again. Cancel it first.")
        needs = self._jobs.unsettled.started_from(row_id)
        if kind is RowKind.JOB and needs:
            raise Conflict(
                f"Job {needs[0].name} started from a checkpoint of job {row.name}. "
                "Wait until it has ended, or cancel it."
            )
        if kind in (RowKind.JOB, RowKind.REPORT):
            await self._database.streams.delete_damaged(row)
        if kind is not RowKind.REPORT:
            await self._database.delete_row(row)
        if kind is RowKind.JOB:
            await self._artifacts.delete_all(row_id)
            await self._checkpoints.delete_objects(row_id)
