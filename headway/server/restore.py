"""Restoring a backup into an empty database and an empty object store, of any backend."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO
from zipfile import ZIP_STORED, BadZipFile, ZipFile

from headway.backend_registry import backend
from headway.core.account import AccountRecord
from headway.core.attempt import Attempt
from headway.core.audit import AuditEntry
from headway.core.checkpoint import CheckpointPart
from headway.core.dataset import OwnedDataset, RegisteredDataset
from headway.core.job import Event, Job
from headway.database.base import Database
from headway.errors import Corrupt, InvalidInput, SettingInvalid
from headway.formats.reports import Report
from headway.objects.base import Objects
from headway.server.backup_format import (
    FORMAT,
    MANIFEST,
    OBJECTS,
    PAGE_JOBS,
    Manifest,
    Record,
    RecordKind,
    account_records,
    dataset_record,
    decode_records,
    encode_record,
    no_progress,
    records_of,
)
from headway.server.installation import put_mark
from headway.server.services.snapshots import snapshot_object
from headway.settings import Settings

_CHUNK_BYTES = 1 << 20
_BATCH_BYTES = 4 << 20
_MAXIMUM_MANIFEST_BYTES = 1 << 30
_BATCH_RECORDS = 500


def check_backup(source: Path, read_bytes: Callable[[int], None] = no_progress) -> Manifest:
    """Read the whole archive and compare it with its manifest. Raises InvalidInput, Corrupt.

    `read_bytes` is called with the size of each member that was read.
    """
    try:
        with ZipFile(source) as archive:
            manifest = _manifest(archive, source)
            for name, sha256 in manifest.members.items():
                with archive.open(name) as member:
                    if hashlib.file_digest(member, "sha256").hexdigest() != sha256:  # type: ignore[arg-type]
                        raise Corrupt(f"{source} is damaged: {name} does not match the manifest.")
                read_bytes(archive.getinfo(name).compress_size)
            return manifest
    except OSError as error:
        raise InvalidInput(f"{source} cannot be read: {error.strerror}.") from error
    except (BadZipFile, zlib.error, EOFError, KeyError, ValueError, NotImplementedError) as error:
        raise Corrupt(f"{source} is not a complete backup of Headway: {error}") from error


async def restore_backup(settings: Settings, source: Path, done_bytes: Callable[[int], None] = no_progress) -> Manifest:
    """Check the archive, write it to the settings' database and object store, and compare them with the archive.

    `done_bytes` is called with the size of each member once it is checked, and again once it is written.
    Raises InvalidInput, Corrupt, or SettingInvalid if the target is not empty. In these cases nothing is changed.
    """
    checked = check_backup(source, done_bytes)
    database: Database = backend("database", settings.effective_database_url)(settings.effective_database_url)
    objects: Objects = backend("objects", settings.effective_objects_url)(settings.effective_objects_url)
    async with AsyncExitStack() as stack:
        for one in (database, objects):
            await one.open()
            stack.push_async_callback(one.close)
        await _check_empty(database, objects)
        archive = stack.enter_context(ZipFile(source))
        manifest = _manifest(archive, source)
        if manifest != checked:
            raise Corrupt(f"{source} was replaced while it was read.")
        await database.installation(manifest.installation)
        await put_mark(objects, manifest.installation)
        for name, sha256 in manifest.members.items():
            if name.startswith(OBJECTS):
                with archive.open(name) as member:
                    stored = await objects.put(name.removeprefix(OBJECTS), _chunks(member))
                if stored.sha256 != sha256:
                    raise Corrupt(f"The stored {name} differs from the backup. Empty the object store, then try again.")
                done_bytes(archive.getinfo(name).compress_size)
        written = []
        for name in manifest.pages:
            with archive.open(name) as page:
                written.append(await _put_page(database, page))
            done_bytes(archive.getinfo(name).compress_size)
        if [one async for one in _page_digests(database)] != written:
            raise Corrupt("The database differs from the backup. Empty it and the object store, then try again.")
    return manifest


def _manifest(archive: ZipFile, source: Path) -> Manifest:
    """The manifest. The sizes of members are checked first: zipfile reads no more than a member's declared size."""
    infos = archive.infolist()
    if archive.getinfo(MANIFEST).file_size > _MAXIMUM_MANIFEST_BYTES:
        raise Corrupt(f"{source} has a manifest of more than {_MAXIMUM_MANIFEST_BYTES:,} bytes.")
    if any(one.filename.startswith(OBJECTS) and one.compress_type != ZIP_STORED for one in infos):
        raise Corrupt(f"{source} has compressed objects; a backup of Headway stores objects uncompressed.")
    content = json.loads(archive.read(MANIFEST))
    if content["format"] > FORMAT:
        raise InvalidInput(
            f"{source} has format {content['format']}, this version of Headway knows {FORMAT}. "
            f"Restore it with Headway {content['version']} or newer."
        )
    manifest = Manifest.model_validate(content)
    if {*archive.namelist()} != {MANIFEST, *manifest.members}:
        raise Corrupt(f"{source} is damaged: its files are not those that its manifest names.")
    return manifest


async def _check_empty(database: Database, objects: Objects) -> None:
    if await database.installation_if_any() is not None or await database.jobs_by_age(0, 1):
        raise SettingInvalid(
            "HEADWAY_DATABASE_URL names a database that a server has already used. Restore into an empty one: "
            "for SQLite, choose another --home."
        )
    async for _ in objects.list(""):
        raise SettingInvalid("HEADWAY_OBJECTS_URL names a store that is not empty. Restore into an empty one.")


async def _put_page(database: Database, page: IO[bytes]) -> bytes:
    """Store the records of a page. Returns their digest."""
    digest = hashlib.sha256()
    batch = _Batch(database)
    for record in decode_records(page):
        encoded = encode_record(record)
        digest.update(encoded)
        await batch.put(record, len(encoded))
    await batch.flush()
    return digest.digest()


class _Batch:
    """Collects events and reports, and stores many at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._events: list[tuple[str, Event]] = []
        self._reports: list[Report] = []
        self._entries: list[AuditEntry] = []
        self._bytes = 0

    async def put(self, record: Record, size_bytes: int) -> None:
        match record.value:
            case Job() as job:
                await self._put_job(job, deleted=record.kind is RecordKind.TOMBSTONE)
            case Attempt() as attempt:
                await self._database.put_attempt(record.owner, attempt)
            case CheckpointPart() as part:
                await self._database.put_checkpoint_part(record.owner, part)
            case RegisteredDataset() as registered:
                await self._database.put_dataset(OwnedDataset.of(record.owner or None, registered))
            case AccountRecord() as account:
                await self._database.put_account(account)
            case AuditEntry() as entry:
                self._entries.append(entry)
            case Event() as event:
                self._events.append((record.owner, event))
            case Report() as report:
                self._reports.append(report)
        self._bytes += size_bytes
        waiting = len(self._events) + len(self._reports) + len(self._entries)
        if self._bytes > _BATCH_BYTES or waiting > _BATCH_RECORDS:
            await self.flush()

    async def _put_job(self, job: Job, *, deleted: bool) -> None:
        """Jobs come in order of age, so that a name is free before the next job uses it."""
        if not deleted:
            await self._database.insert_job(job)
            if job.spec.snapshot is not None:
                await self._database.add_owner(job.project, snapshot_object(job.spec.snapshot))
            return
        await self._database.insert_job(job.model_copy(update={"version": job.version - 1}))
        await self._database.delete_job(job)

    async def flush(self) -> None:
        if self._events:
            await self._database.insert_events(self._events)
        if self._reports:
            await self._database.streams.insert(self._reports)
        if self._entries:
            await self._database.insert_audit(self._entries)
        self._events, self._reports, self._entries, self._bytes = [], [], [], 0


async def _page_digests(database: Database) -> AsyncIterator[bytes]:
    """The digests of the pages that a backup of this database would have."""
    sequence = 0
    while page := await database.jobs_by_age(sequence, PAGE_JOBS):
        digest = hashlib.sha256()
        for stored in page:
            async for record in records_of(database, stored):
                digest.update(encode_record(record))
        yield digest.digest()
        sequence = page[-1].job.sequence
    digest = hashlib.sha256()
    for owned in await database.datasets():
        digest.update(encode_record(dataset_record(owned)))
    yield digest.digest()
    digest, any_record = hashlib.sha256(), False
    async for record in account_records(database):
        digest.update(encode_record(record))
        any_record = True
    if any_record:
        yield digest.digest()


async def _chunks(member: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := member.read(_CHUNK_BYTES):
        yield chunk
