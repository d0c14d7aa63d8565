"""Backing up a whole installation, also while its servers run."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from headway import __version__
from headway.backend_registry import backend
from headway.core.checkpoint import CheckpointPart
from headway.core.installation import Installation
from headway.core.job import Job
from headway.database.base import Database, StoredJob
from headway.errors import Conflict, InvalidInput, NotFound, SettingInvalid
from headway.objects.base import Objects
from headway.server.backup_format import (
    MANIFEST,
    OBJECTS,
    PAGE_JOBS,
    Manifest,
    RecordKind,
    account_records,
    dataset_record,
    encode_record,
    no_progress,
    page_name,
    records_of,
)
from headway.server.services.blocks import block_object
from headway.server.services.snapshots import snapshot_object
from headway.settings import Settings

_NOTHING = Installation(id="", secret="")
_PAGE_IN_MEMORY_BYTES = 64 << 20


async def take_backup(settings: Settings, target: Path, copied_bytes: Callable[[int], None] = no_progress) -> Manifest:
    """Write the contents of the settings' database and object store to a new file that only its owner can read.

    `copied_bytes` is called with the size of each piece of an object that was copied.

    Each job is consistent: it is backed up as of one moment, with all the objects that it names. The manifest lists
    objects and rows that are damaged already. Raises InvalidInput if the file exists or cannot be written,
    SettingInvalid if there is nothing to back up.
    """
    if target.exists():
        raise InvalidInput(f"{target} exists already. Choose another file, or move that one away.")
    if not target.absolute().parent.is_dir():
        raise InvalidInput(f"The folder of {target} does not exist. Create it first.")
    database: Database = backend("database", settings.effective_database_url)(settings.effective_database_url)
    objects: Objects = backend("objects", settings.effective_objects_url)(settings.effective_objects_url)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    async with AsyncExitStack() as stack:
        for one in (database, objects):
            await one.open_to_read()
            stack.push_async_callback(one.close)
        installation = await database.installation_if_any()
        if installation is None:
            raise SettingInvalid("HEADWAY_DATABASE_URL names a database that no server has used: nothing to back up.")
        stack.callback(partial.unlink, missing_ok=True)
        try:
            with _new_private_file(partial) as file:
                with ZipFile(file, "w") as archive:
                    manifest = await _Backup(database, objects, archive, copied_bytes).write(installation)
                file.flush()
                os.fsync(file.fileno())
            partial.rename(target)
        except OSError as error:
            raise InvalidInput(f"The backup was not written to {target}: {error}") from error
    return manifest


class _Backup:
    def __init__(
        self, database: Database, objects: Objects, archive: ZipFile, copied_bytes: Callable[[int], None]
    ) -> None:
        self._copied_bytes = copied_bytes
        self._database = database
        self._objects = objects
        self._archive = archive
        self._counts: Counter[RecordKind] = Counter()
        self._members: dict[str, str] = {}
        self._object_bytes = 0
        self._damaged: dict[str, None] = {}

    async def write(self, installation: Installation) -> Manifest:
        sequence = number = 0
        while page := await self._database.jobs_by_age(sequence, PAGE_JOBS):
            with tempfile.SpooledTemporaryFile(max_size=_PAGE_IN_MEMORY_BYTES) as records:
                for stored in page:
                    await self._job(stored, records)
                self._page(number, records)
            number, sequence = number + 1, page[-1].job.sequence
        with tempfile.SpooledTemporaryFile(max_size=_PAGE_IN_MEMORY_BYTES) as records:
            await self._datasets(records)
            self._page(number, records)
        with tempfile.SpooledTemporaryFile(max_size=_PAGE_IN_MEMORY_BYTES) as records:
            async for record in account_records(self._database):
                records.write(encode_record(record))
                self._counts[record.kind] += 1
            if records.tell():
                self._page(number + 1, records)
        manifest = Manifest(
            version=__version__,
            taken_at=time.time(),
            installation=installation,
            counts=dict(self._counts),
            members=self._members,
            object_bytes=self._object_bytes,
            damaged=(*self._damaged, *(f"{row.kind} {row.id}" for row in self._database.damage.rows())),
        )
        self._archive.writestr(_member(MANIFEST, ZIP_DEFLATED), manifest.model_dump_json(indent=2))
        return manifest

    async def _job(self, stored: StoredJob, records: IO[bytes]) -> None:
        """Write the job's records and its objects. Start again if a server changed the job meanwhile."""
        begin = records.tell()
        while True:
            counts: Counter[RecordKind] = Counter()
            parts: list[CheckpointPart] = []
            try:
                async for record in records_of(self._database, stored):
                    records.write(encode_record(record))
                    counts[record.kind] += 1
                    if isinstance(record.value, CheckpointPart):
                        parts.append(record.value)
                lost = [] if stored.deleted else await self._objects_of(stored.job, parts)
                whole = True
            except Conflict:
                whole = False
            (now,) = await self._database.jobs_by_age(stored.job.sequence - 1, 1)
            if whole and _names(now) == _names(stored):
                self._damaged.update(dict.fromkeys(lost))
                self._counts += counts
                return
            stored = now
            records.seek(begin)
            records.truncate()

    async def _objects_of(self, job: Job, parts: list[CheckpointPart]) -> list[str]:
        """Copy the objects that the job names. Returns the ids of those that are missing or damaged."""
        named = {one.object_id: one.sha256 for one in job.artifacts}
        named |= {part.object_id: part.sha256 for part in parts}
        if job.spec.snapshot is not None:
            named[snapshot_object(job.spec.snapshot)] = job.spec.snapshot
        return [object_id for object_id, sha256 in named.items() if not await self._object(object_id, sha256)]

    async def _datasets(self, records: IO[bytes]) -> None:
        for owned in await self._database.datasets():
            records.write(encode_record(dataset_record(owned)))
            self._counts[RecordKind.DATASET] += 1
            for split in owned.dataset.splits.values():
                for block in split.blocks:
                    if not await self._object(block_object(block.sha256), block.sha256):
                        self._damaged[block_object(block.sha256)] = None

    async def _object(self, object_id: str, sha256: str) -> bool:
        """Copy an object, even a damaged one. Returns whether its bytes match the hash."""
        name = OBJECTS + object_id
        if name not in self._members:
            chunks = self._objects.get(object_id)
            try:
                first = await anext(chunks, b"")
            except NotFound:
                return False
            digest = hashlib.sha256(first)
            with self._archive.open(_member(name, ZIP_STORED), "w", force_zip64=True) as member:
                self._write(member, first)
                async for chunk in chunks:
                    digest.update(chunk)
                    self._write(member, chunk)
            self._members[name] = digest.hexdigest()
        return self._members[name] == sha256

    def _write(self, member: IO[bytes], chunk: bytes) -> None:
        self._object_bytes += member.write(chunk)
        self._copied_bytes(len(chunk))

    def _page(self, number: int, records: IO[bytes]) -> None:
        name = page_name(number)
        records.seek(0)
        self._members[name] = hashlib.file_digest(records, "sha256").hexdigest()  # type: ignore[arg-type]
        records.seek(0)
        with self._archive.open(_member(name, ZIP_DEFLATED), "w", force_zip64=True) as member:
            shutil.copyfileobj(records, member)


def _names(stored: StoredJob) -> object:
    """The parts of a job that must not change while its rows and objects are read. Everything else only grows."""
    return stored.deleted, stored.job.artifacts, [one.key for one in stored.job.checkpoints]


def _member(name: str, compression: int) -> ZipInfo:
    info = ZipInfo(name, time.gmtime()[:6])
    info.compress_type = compression
    info.external_attr = 0o600 << 16
    return info


def _new_private_file(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
