"""The verbs of snapshots: store (by a user), read (by a worker), and delete those that no job names."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

from headway.database.base import Database
from headway.errors import InvalidInput, NotFound, TooLarge
from headway.objects.base import Objects


class Snapshots:
    """Working directories as archives, addressed by the SHA-256 of their bytes, so that none is stored twice."""

    def __init__(self, objects: Objects, database: Database, maximum_bytes: int) -> None:
        self._objects = objects
        self._database = database
        self._maximum_bytes = maximum_bytes
        self._unused: set[str] = set()

    async def store(self, sha256: str, chunks: AsyncIterator[bytes]) -> None:
        """Store an archive. Raises InvalidInput when the bytes have another hash, TooLarge; nothing is stored then."""
        self._unused.discard(snapshot_object(sha256))
        await self._objects.put(snapshot_object(sha256), self._verified(sha256, chunks))

    async def size_bytes(self, sha256: str) -> int:
        """The archive's size. Raises NotFound."""
        try:
            size_bytes = await self._objects.size_bytes(snapshot_object(sha256))
        except NotFound as error:
            raise NotFound(f"Snapshot {sha256[:12]} does not exist. Upload the working directory first.") from error
        self._unused.discard(snapshot_object(sha256))  # whoever asks is about to use it
        return size_bytes

    def read(self, sha256: str) -> AsyncIterator[bytes]:
        """The archive's bytes."""
        return self._objects.get(snapshot_object(sha256))

    async def sweep(self) -> None:
        """Delete what no job names and none named at the sweep before: a submission may still be on its way."""
        used = {snapshot_object(sha256) for sha256 in await self._database.snapshots()}
        stored = {object_id async for object_id in self._objects.list("snapshots/")}
        unused = stored - used
        for object_id in unused & self._unused:
            await self._objects.delete(object_id)
        self._unused = unused - self._unused

    async def _verified(self, sha256: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        digest = hashlib.sha256()
        size_bytes = 0
        async for chunk in chunks:
            digest.update(chunk)
            size_bytes += len(chunk)
            if size_bytes > self._maximum_bytes:
                raise TooLarge(
                    f"The working directory is larger than {self._maximum_bytes:,} bytes packed "
                    "(HEADWAY_MAXIMUM_SNAPSHOT_BYTES). Name what is not needed in .headwayignore."
                )
            yield chunk
        if digest.hexdigest() != sha256:
            raise InvalidInput(f"Snapshot {sha256[:12]} was sent with other bytes: their hash does not match.")


def snapshot_object(sha256: str) -> str:
    """The object of a snapshot."""
    return f"snapshots/{sha256[:2]}/{sha256}"
