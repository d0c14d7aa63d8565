"""The verbs of snapshots: store (by a user), read (by a worker), and delete those that no job names."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from headway.database.base import Database
from headway.errors import InvalidInput, NotFound, TooLarge
from headway.objects.base import Objects
from headway.server.access import Action, Caller, SnapshotSubject, require, require_in_project
from headway.server.services.jobs import Jobs
from headway.server.services.stored_file import StoredFile, stored_file

SNAPSHOTS = "snapshots/"
"""The prefix of the object ids of snapshots."""


class Snapshots:
    """Working directories as archives, addressed by the SHA-256 of their bytes, so that each is stored once.

    A project has the archives that it sent. Knowing a hash is not enough to get an archive.
    """

    def __init__(self, objects: Objects, database: Database, jobs: Jobs, maximum_bytes: int) -> None:
        self._objects = objects
        self._database = database
        self._jobs = jobs
        self._maximum_bytes = maximum_bytes
        self._unused: set[tuple[str, str]] = set()
        self._ownerless: set[str] = set()

    async def store(self, caller: Caller, project: str, sha256: str, chunks: AsyncIterator[bytes]) -> None:
        """Store an archive that a project sends.

        Raises InvalidInput when the bytes have another hash, TooLarge. Then nothing is stored.
        """
        require_in_project(caller, Action.SNAPSHOTS_WRITE, project)
        object_id = snapshot_object(sha256)
        self._ownerless.discard(object_id)
        await self._objects.put(object_id, self._verified(sha256, chunks))
        await self._database.add_owner(project, object_id)

    async def size_bytes(self, project: str, sha256: str) -> int:
        """The size of an archive that the project has. Raises NotFound."""
        object_id = snapshot_object(sha256)
        self._unused.discard((project, object_id))  # the caller is about to use it
        if not await self._database.owned(project, (object_id,)):
            raise _absent(sha256)
        return await self._stored_bytes(sha256)

    async def open(self, caller: Caller, project: str, sha256: str) -> StoredFile:
        """An archive that the project has, or that a worker's claimed jobs need. Raises NotFound."""
        if caller.worker is not None:
            project, size_bytes = await self._needed_by(caller.worker, sha256)
        else:
            size_bytes = await self.size_bytes(project, sha256)
        subject = SnapshotSubject(sha256, project, needed_by=caller.worker)
        require(caller, Action.SNAPSHOTS_READ, subject, _absent(sha256))
        return await stored_file(self._objects, snapshot_object(sha256), sha256, size_bytes, sha256)

    async def _needed_by(self, worker: str, sha256: str) -> tuple[str, int]:
        """The project and the size of an archive that a claimed job names. The job's project had it at submission."""
        for job in self._jobs.unsettled.claimed_by(worker):
            if job.spec.snapshot == sha256:
                return job.project, await self._stored_bytes(sha256)
        raise _absent(sha256)

    async def _stored_bytes(self, sha256: str) -> int:
        try:
            return await self._objects.size_bytes(snapshot_object(sha256))
        except NotFound as error:
            raise _absent(sha256) from error

    async def sweep(self) -> None:
        """Delete archives that no job named at this sweep and at the one before: a job may be submitted in between.

        First a project loses archives that none of its jobs names. Then archives that no project has are deleted.
        """
        named = {(project, snapshot_object(sha256)) for project, sha256 in await self._database.named_snapshots()}
        owners = await self._database.owners(SNAPSHOTS)
        for project, object_id in named - owners:  # submitted to a server version without owners
            await self._database.add_owner(project, object_id)
        unused = owners - named
        lost: set[tuple[str, str]] = set()
        for owner in unused & self._unused:
            if owner in self._unused:  # the project has not used it meanwhile
                await self._database.remove_owner(owner[0], (owner[1],))
                lost.add(owner)
        self._unused = unused - lost
        stored = {object_id async for object_id in self._objects.list(SNAPSHOTS)}
        ownerless = stored - {object_id for _, object_id in (owners | named) - lost}
        deleted = ownerless & (self._ownerless | {object_id for _, object_id in lost})
        self._ownerless = ownerless - deleted
        for object_id in deleted:
            await self._objects.delete(object_id)

    async def _verified(self, sha256: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        digest = hashlib.sha256()
        size_bytes = 0
        async for chunk in chunks:
            digest.update(chunk)
            size_bytes += len(chunk)
            if size_bytes > self._maximum_bytes:
                raise TooLarge(
                    f"The working directory is larger than {self._maximum_bytes:,} bytes packed "
                    "(HEADWAY_MAXIMUM_SNAPSHOT_BYTES). List files that are not needed in .headwayignore."
                )
            yield chunk
        if digest.hexdigest() != sha256:
            raise InvalidInput(f"The bytes sent for snapshot {sha256[:12]} have another hash.")


def snapshot_object(sha256: str) -> str:
    """The object id of a snapshot."""
    return f"{SNAPSHOTS}{sha256[:2]}/{sha256}"


def _absent(sha256: str) -> NotFound:
    return NotFound(f"Snapshot {sha256[:12]} does not exist. Upload the working directory first.")
