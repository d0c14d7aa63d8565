"""The contract of a database. It also suits document stores: one row or document changes at a time, by version."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeVar

from headway.core.account import AccountRecord
from headway.core.attempt import Attempt
from headway.core.audit import AuditEntry
from headway.core.checkpoint import CheckpointPart
from headway.core.damaged import DamagedRow
from headway.core.dataset import OwnedDataset
from headway.core.installation import Installation, Leadership
from headway.core.job import Event, Job
from headway.core.job_query import JobQuery
from headway.core.problem import Problem
from headway.core.worker import Worker
from headway.database.damage import Damage
from headway.database.streams import StreamStore
from headway.errors import IdempotencyKeyReused, NameTaken

reading: ContextVar[bool] = ContextVar("reading", default=False)
"""Whether the current request only reads, for a user. Such reads have their own connections, so that submissions,
heartbeats and claims never wait for them. A read that waits too long for a connection raises Overloaded."""
READ_PATIENCE_SECONDS = 10.0
OVERLOADED = "Too many requests wait for the database. Try again in a moment."


_Account = TypeVar("_Account", bound=AccountRecord)


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries of the audit to list: those of a project, of a user, before the one with this id; None: all."""

    project: str | None = None
    user: str | None = None
    before: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A stored job, or the tombstone of a deleted one."""

    job: Job
    deleted: bool


def key_reused(job: Job) -> IdempotencyKeyReused:
    """The error of a submission whose key another job uses."""
    return IdempotencyKeyReused(f"Idempotency key {job.idempotency_key} was used before.")


def name_taken(job: Job) -> NameTaken:
    """The error of a submission whose name another job uses."""
    return NameTaken(f"Job {job.name} exists already. Choose another name.")


class Database(ABC):
    """Raises Unavailable when it is unreachable or full; then nothing is changed.

    `shared`: several servers may use it; one of them leads.
    """

    shared: ClassVar[bool] = False
    streams: StreamStore
    """The reports of workers. It opens and closes with the database. Deleting a job includes its streams."""

    @cached_property
    def damage(self) -> Damage:
        """The rows that could not be read. Lists leave them out; reading one of them raises Damaged."""
        return Damage()

    @abstractmethod
    async def open(self) -> None:
        """Connect and bring the schema up to date. Raises SettingInvalid, naming the setting."""

    async def open_to_read(self) -> None:
        """Connect read-only, beside servers that may be running. Raises SettingInvalid."""
        await self.open()

    @abstractmethod
    async def close(self) -> None:
        """Close connections and release locks."""

    @abstractmethod
    async def check(self) -> None:
        """Prove that it answers. Raises Unavailable."""

    async def problems(self) -> list[Problem]:
        """Configuration problems, for `headway doctor`. It works without `open`. Raises Unavailable."""
        return []

    # The installation
    @abstractmethod
    async def installation(self, proposed: Installation) -> Installation:
        """The installation that any server proposed first. Stores `proposal` if there is none."""

    @abstractmethod
    async def installation_if_any(self) -> Installation | None:
        """The stored installation; None if there is none."""

    @abstractmethod
    async def leadership(self) -> Leadership:
        """The leader; term 0 if there has never been one."""

    @abstractmethod
    async def put_leadership(self, new: Leadership, known: Leadership) -> bool:
        """Compare and set: store `new` if `known` is stored."""

    # Accounts
    @abstractmethod
    async def accounts(self, kind: type[_Account]) -> list[_Account]:
        """The records of a kind, by id."""

    @abstractmethod
    async def put_account(self, record: AccountRecord) -> bool:
        """Compare and set: store a record if the stored version is `record.version - 1`; version 1 is a new one."""

    @abstractmethod
    async def delete_account(self, record: AccountRecord) -> bool:
        """Delete a record if it is stored in this version."""

    # The audit. A write of a request stores the request's entries in the same transaction, or before itself.
    @abstractmethod
    async def insert_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Store entries; those that are there already stay."""

    @abstractmethod
    async def audit(self, query: AuditQuery) -> list[AuditEntry]:
        """The entries that are asked for, newest first."""

    # Jobs
    @abstractmethod
    async def insert_job(self, job: Job) -> Job:
        """Store a new job and return it with its `sequence`, which grows with age.

        Raises IdempotencyKeyReused when (project, idempotency key) exists, before NameTaken for (project, name).
        """

    @abstractmethod
    async def replace_job(self, job: Job) -> bool:
        """Compare and set: store `job` if the stored version is `job.version - 1`."""

    @abstractmethod
    async def job(self, job_id: str) -> Job:
        """The job. Raises NotFound, Damaged."""

    @abstractmethod
    async def job_named(self, project: str, name: str) -> Job | None:
        """The job that has the name. Raises Damaged."""

    @abstractmethod
    async def job_with_key(self, project: str, idempotency_key: str) -> Job | None:
        """The job that was submitted with the key; of a deleted one the tombstone. Raises Damaged."""

    @abstractmethod
    async def jobs(self, query: JobQuery) -> list[Job]:
        """The jobs that match the query, in its order, at most `query.limit`."""

    @abstractmethod
    async def job_counts(self, project: str) -> dict[str, int]:
        """How many jobs the project has, by status as people call it: `paused` is queued and on hold."""

    @abstractmethod
    async def jobs_by_age(self, after: int, limit: int) -> list[StoredJob]:
        """All jobs ever submitted, in all projects, with a sequence above `after`, oldest first."""

    @abstractmethod
    async def queued_jobs(self, after: tuple[int, int] | None, limit: int) -> list[Job]:
        """The queue of all projects without jobs on hold, by priority, then age, after (priority, sequence)."""

    @abstractmethod
    async def unsettled_jobs(self) -> list[Job]:
        """Jobs with an active attempt, settling streams, or undelivered events: those that a starting server loads."""

    @abstractmethod
    async def delete_job(self, job: Job) -> bool:
        """Compare and set as `replace_job`, leaving a tombstone: key and body hash stay, the name becomes free.

        This also deletes its attempts, events and checkpoint parts.
        """

    @abstractmethod
    async def delete_row(self, row: DamagedRow) -> None:
        """Delete a damaged row that is not a report. With a job, this deletes its attempts, events and checkpoint parts
        and frees its key."""

    # Attempts and events
    @abstractmethod
    async def put_attempt(self, job_id: str, attempt: Attempt) -> None:
        """Store an ended attempt; storing it again changes nothing."""

    @abstractmethod
    async def attempts(self, job_id: str) -> list[Attempt]:
        """The ended attempts, by number."""

    @abstractmethod
    async def put_checkpoint_part(self, job_id: str, part: CheckpointPart) -> None:
        """Store a part, replacing one of the same attempt, step and rank."""

    @abstractmethod
    async def checkpoint_parts(self, job_id: str) -> list[CheckpointPart]:
        """All stored parts of a job, by attempt, step and rank."""

    @abstractmethod
    async def delete_checkpoint_part(self, job_id: str, part: CheckpointPart) -> None:
        """Delete a part."""

    @abstractmethod
    async def insert_events(self, events: Sequence[tuple[str, Event]]) -> None:
        """Store (job id, event) pairs. Stored events are not changed."""

    @abstractmethod
    async def events(self, job_id: str, after: int, limit: int) -> list[Event]:
        """Events with a number above `after`, by number."""

    # Workers
    @abstractmethod
    async def put_worker(self, worker: Worker) -> None:
        """Store a worker, replacing its old record."""

    @abstractmethod
    async def workers(self) -> list[Worker]:
        """The workers, including those that were lost recently."""

    # Datasets
    @abstractmethod
    async def put_dataset(self, owned: OwnedDataset) -> None:
        """Store a dataset's index, replacing one of the same name in the project."""

    @abstractmethod
    async def delete_dataset(self, project: str | None, name: str) -> None:
        """Delete a dataset's index. Deleting it again changes nothing."""

    @abstractmethod
    async def datasets(self) -> list[OwnedDataset]:
        """The datasets by project and name, shared ones first."""

    # Which projects own an object that is addressed by the hash of its bytes
    @abstractmethod
    async def add_owner(self, project: str, object_id: str) -> None:
        """Add the project to the object's owners. Adding it again changes nothing."""

    @abstractmethod
    async def owned(self, project: str, object_ids: Collection[str]) -> set[str]:
        """Which of these objects, at most 1,000, the project owns."""

    @abstractmethod
    async def owners(self, prefix: str) -> set[tuple[str, str]]:
        """The owners of all objects whose id begins with the prefix, as (project, object id)."""

    @abstractmethod
    async def remove_owner(self, project: str, object_ids: Collection[str]) -> None:
        """Remove the project from the owners of these objects, at most 1,000."""

    @abstractmethod
    async def named_snapshots(self) -> set[tuple[str, str]]:
        """The snapshots that jobs name, as (project, sha256)."""
