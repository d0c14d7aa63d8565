"""The format of a backup, independent of backends: pages of records, objects, and a manifest of both.

The file is a ZIP archive (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT): `records/NNNNNNNN` are streams
of MessagePack, `objects/ID` are the objects' bytes, `manifest.json` comes last.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import IO, Any

import msgpack

from headway.core.account import ACCOUNT_KINDS, AccountRecord, Invitation, LoginFailures, Session
from headway.core.attempt import LARGEST_NUMBER, Attempt
from headway.core.audit import AuditEntry
from headway.core.checkpoint import CheckpointPart
from headway.core.dataset import OwnedDataset, RegisteredDataset, project_of_earlier_dataset
from headway.core.frozen import Frozen
from headway.core.installation import Installation
from headway.core.job import Event, Job
from headway.database.base import AuditQuery, Database, StoredJob
from headway.errors import Conflict, Corrupt
from headway.formats.reports import Report, decode_facts, encode_facts

FORMAT = 2
"""2: accounts and the audit."""
PAGE_JOBS = 100
MANIFEST, RECORDS, OBJECTS = "manifest.json", "records/", "objects/"
_PAGE_EVENTS = 1000
_PAGE_REPORTS = 64
_PAGE_ENTRIES = 1000
MAXIMUM_RECORD_BYTES = 256 << 20
_FIELDS = 8
"""The number of fields of the longest record, a report."""


class RecordKind(StrEnum):
    """The kind of a record. Workers and the leader have no records: after a restore, workers register again."""

    JOB = "job"
    TOMBSTONE = "tombstone"
    ATTEMPT = "attempt"
    CHECKPOINT_PART = "checkpoint part"
    EVENT = "event"
    REPORT = "report"
    DATASET = "dataset"
    ACCOUNT = "account"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class Record:
    """One row or document.

    `owner`: the id of its job; for a dataset its project, empty if all projects share it; for an account its kind.
    """

    kind: RecordKind
    owner: str
    value: Job | Attempt | CheckpointPart | Event | Report | RegisteredDataset | AccountRecord | AuditEntry


class Manifest(Frozen):
    """Which installation was backed up, when (seconds since the epoch), and what the archive must contain.

    `members` maps each name to its SHA-256. `damaged`: objects that were missing or did not match their record, and
    rows that could not be read. These rows are left out.
    """

    format: int = FORMAT
    version: str
    taken_at: float
    installation: Installation
    counts: dict[RecordKind, int]
    members: dict[str, str]
    object_bytes: int
    damaged: tuple[str, ...] = ()

    @property
    def object_count(self) -> int:
        """How many objects there are."""
        return sum(name.startswith(OBJECTS) for name in self.members)

    @property
    def pages(self) -> list[str]:
        """The members that have records, in order."""
        return sorted(name for name in self.members if name.startswith(RECORDS))


def page_name(number: int) -> str:
    """The member of the records' page `number`."""
    return f"{RECORDS}{number:08d}"


async def records_of(database: Database, stored: StoredJob) -> AsyncIterator[Record]:
    """A job and all its rows as of this version, even while a server continues writing.

    Raises Conflict when its streams were compacted meanwhile. Then read the job again.
    """
    job = stored.job.model_copy(update={"allocation": None, "releasing": ()})  # a restored job asks for new machines
    yield Record(RecordKind.TOMBSTONE if stored.deleted else RecordKind.JOB, job.id, job)
    if stored.deleted:
        return
    ended = job.attempt is not None and job.attempt.ended_at is not None
    for attempt in await database.attempts(job.id):
        if attempt.number < job.attempt_number or (ended and attempt.number == job.attempt_number):
            yield Record(RecordKind.ATTEMPT, job.id, attempt)
    kept = {one.key for one in job.checkpoints if one.job is None}
    for part in await database.checkpoint_parts(job.id):
        if (part.attempt, part.step) in kept:
            yield Record(RecordKind.CHECKPOINT_PART, job.id, part)
    number = 0
    while number < job.event_count and (page := await database.events(job.id, number, _PAGE_EVENTS)):
        for event in page:
            if event.number <= job.event_count:
                yield Record(RecordKind.EVENT, job.id, event)
        number = page[-1].number
    for attempt_number in range(1, job.attempt_number + 1):
        async for report in _reports(database, job, attempt_number):
            yield Record(RecordKind.REPORT, job.id, report)


async def _reports(database: Database, job: Job, attempt: int) -> AsyncIterator[Report]:
    """The reports of an attempt, without facts that this version of the job has not applied: they may name newer
    objects.

    For earlier attempts, every fact was applied or refused.
    """
    live = job.attempt if job.attempt is not None and job.attempt.number == attempt else None
    for worker in sorted({row.worker for row in await database.streams.index(job.id, attempt)}):
        assignment = live.assignment_of(worker) if live is not None else None
        applied = assignment.applied if assignment is not None else LARGEST_NUMBER
        position = 0
        while page := await database.streams.reports(job.id, attempt, worker, position, LARGEST_NUMBER, _PAGE_REPORTS):
            if page[0].number <= position:
                raise Conflict(f"Reports of job {job.name} were compacted while they were read.")
            for report in page:
                yield report if report.number <= applied else replace(report, facts=())
            position = page[-1].through


def dataset_record(owned: OwnedDataset) -> Record:
    """The record of a dataset."""
    return Record(RecordKind.DATASET, owned.project or "", owned.registered)


async def account_records(database: Database) -> AsyncIterator[Record]:
    """All accounts, with hashes of tokens, and the audit from the newest entry on.

    No sessions and invitations: after a restore, one that was ended since the backup would hold again.
    """
    for name, kind in ACCOUNT_KINDS.items():
        if kind in (Session, Invitation, LoginFailures):
            continue
        for account in await database.accounts(kind):
            yield Record(RecordKind.ACCOUNT, name, account)
    before = None
    while page := await database.audit(AuditQuery(before=before, limit=_PAGE_ENTRIES)):
        for entry in page:
            yield Record(RecordKind.AUDIT, "", entry)
        before = page[-1].id


def encode_record(record: Record) -> bytes:
    """The record as MessagePack. A job's `sequence` and an account's version are left out."""
    value = record.value
    body: Any
    if isinstance(value, Report):
        place = (value.attempt, value.worker, value.number, value.through, value.last)
        body = (*place, encode_facts(value.facts), value.logs, value.metrics)
    else:
        own = {"sequence"} if isinstance(value, Job) else {"version"} if isinstance(value, AccountRecord) else None
        body = value.model_dump_json(exclude=own)
    encoded: bytes = msgpack.packb((record.kind.value, record.owner, body))
    return encoded


_MODELS: dict[RecordKind, type[Job | Attempt | CheckpointPart | Event | AuditEntry]] = {
    RecordKind.JOB: Job,
    RecordKind.TOMBSTONE: Job,
    RecordKind.ATTEMPT: Attempt,
    RecordKind.CHECKPOINT_PART: CheckpointPart,
    RecordKind.EVENT: Event,
    RecordKind.AUDIT: AuditEntry,
}


def no_progress(_size_bytes: int) -> None:
    """For callers that do not show progress."""


def decode_records(page: IO[bytes]) -> Iterator[Record]:
    """The records of a page. Raises Corrupt."""
    try:
        for name, owner, body in msgpack.Unpacker(page, max_buffer_size=MAXIMUM_RECORD_BYTES, max_array_len=_FIELDS):
            kind = RecordKind(name)
            if kind is RecordKind.REPORT:
                attempt, worker, number, through, last, facts, logs, metrics = body
                report = Report(owner, attempt, worker, number, through, last, decode_facts(facts), logs, metrics)
                yield Record(kind, owner, report)
            elif kind is RecordKind.DATASET:
                registered = RegisteredDataset.model_validate_json(body)
                yield Record(kind, owner or project_of_earlier_dataset(registered.name) or "", registered)
            elif kind is RecordKind.ACCOUNT:
                yield Record(kind, owner, ACCOUNT_KINDS[owner].model_validate_json(body))
            else:
                yield Record(kind, owner, _MODELS[kind].model_validate_json(body))
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise Corrupt(f"A record of the backup cannot be read by this version of Headway: {error}") from error
