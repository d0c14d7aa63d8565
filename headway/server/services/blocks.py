"""The verbs of blocks: store, find missing ones, read; and delete those that no registered dataset names.

A block is addressed by its hash, and all projects share it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Iterable

from headway.caches.base import Cache
from headway.core.damaged import RowKind
from headway.core.dataset import MAXIMUM_BLOCK_BYTES, Block, OwnedDataset
from headway.database.base import Database
from headway.errors import InvalidInput, NotFound, TooLarge
from headway.objects.base import Objects, in_one_chunk
from headway.server.access import Action, Caller, require_in_project
from headway.server.clock import Clock

_log = logging.getLogger(__name__)
BLOCKS = "blocks/"
"""What the ids of their objects begin with."""
_ASKED_BLOCKS = 1000
_ABANDONED_SECONDS = 86_400.0
"""How long a project has to send and ask for no block before its uploads count as abandoned."""


class Blocks:
    """Blocks in the object store, with those in frequent use in the cache.

    A project has the blocks that its own datasets and shared datasets name, and those that it sent for a new dataset.
    Knowing a hash is not enough to get a block. Owners are stored only until the dataset is registered.
    """

    def __init__(self, database: Database, objects: Objects, cache: Cache, clock: Clock) -> None:
        self._database = database
        self._objects = objects
        self._cache = cache
        self._clock = clock
        self._unregistered_since: dict[str, float] = {}
        self._uploads_at: dict[str, float] = {}
        self._datasets: dict[str, tuple[OwnedDataset, ...]] = {}

    def index(self, owned: OwnedDataset) -> None:
        """Note the blocks that a registered dataset names."""
        alone = (owned,)  # one tuple for all of its blocks
        for sha256 in _hashes(owned):
            others = tuple(one for one in self._datasets.get(sha256, ()) if not _same_place(one, owned))
            self._datasets[sha256] = (*others, owned) if others else alone
            self._unregistered_since.pop(block_object(sha256), None)

    def forget(self, owned: OwnedDataset) -> None:
        """Note that a dataset is deleted. `sweep` deletes the blocks that no other dataset names."""
        for sha256 in _hashes(owned):
            others = tuple(one for one in self._datasets.get(sha256, ()) if not _same_place(one, owned))
            if others:
                self._datasets[sha256] = others
            else:
                self._datasets.pop(sha256, None)

    def datasets_of(self, sha256: str) -> tuple[OwnedDataset, ...]:
        """The registered datasets, of any project, that name the block."""
        return self._datasets.get(sha256, ())

    async def read(self, sha256: str) -> bytes:
        """A block's compressed bytes. The caller must be allowed to read one of its datasets. Raises NotFound."""
        key = f"block/{sha256}"
        cached = await self._cache.get(key)
        if cached is not None:
            return cached
        content = b"".join([chunk async for chunk in self._objects.get(block_object(sha256))])
        await self._cache.put(key, content)
        return content

    async def store(self, caller: Caller, project: str, sha256: str, chunks: AsyncIterator[bytes]) -> None:
        """Store a block that a project sends. Raises InvalidInput when its bytes have another hash, TooLarge."""
        require_in_project(caller, Action.DATASETS_WRITE, project)
        self._uploads_at[project] = self._clock.monotonic()
        content = bytearray()
        async for chunk in chunks:
            content += chunk
            if len(content) > MAXIMUM_BLOCK_BYTES:
                raise TooLarge(f"Block {sha256[:12]} is larger than {MAXIMUM_BLOCK_BYTES:,} bytes.")
        if hashlib.sha256(content).hexdigest() != sha256:
            raise InvalidInput(f"The bytes sent for block {sha256[:12]} have another hash.")
        self._unregistered_since.pop(block_object(sha256), None)  # a sweep at work leaves it
        await self._objects.put(block_object(sha256), in_one_chunk(bytes(content)))
        await self._database.add_owner(project, block_object(sha256))

    async def store_missing(self, contents: Iterable[tuple[Block, bytes]]) -> None:
        """Store the blocks of a dataset that the server itself reads from files."""
        for block, compressed in contents:
            if not await self._stored(block):
                await self._objects.put(block_object(block.sha256), in_one_chunk(compressed))

    async def missing(self, caller: Caller, project: str, blocks: Iterable[Block]) -> set[str]:
        """The hashes of the blocks that have to be sent for a dataset of the project."""
        require_in_project(caller, Action.DATASETS_WRITE, project)
        return await self.absent(project, blocks)

    async def absent(self, project: str, blocks: Iterable[Block]) -> set[str]:
        """The hashes of the blocks that the project does not have."""
        self._uploads_at[project] = self._clock.monotonic()
        sizes = {block.sha256: block for block in blocks}
        unnamed = [sha256 for sha256 in sizes if not self._names(project, sha256)]
        missing = set(unnamed)
        for start in range(0, len(unnamed), _ASKED_BLOCKS):
            objects = {block_object(sha256): sha256 for sha256 in unnamed[start : start + _ASKED_BLOCKS]}
            missing -= {objects[object_id] for object_id in await self._database.owned(project, objects)}
        lost = {sha256 for sha256, block in sizes.items() if sha256 not in missing and not await self._stored(block)}
        return missing | lost

    async def forget_owners(self, project: str, owned: OwnedDataset) -> None:
        """Forget the owners of a registered dataset's blocks: its index now says that the project has them."""
        objects = [block_object(sha256) for sha256 in _hashes(owned)]
        for start in range(0, len(objects), _ASKED_BLOCKS):
            await self._database.remove_owner(project, objects[start : start + _ASKED_BLOCKS])

    async def sweep(self) -> None:
        """Delete the blocks that belong to no registered dataset, once no upload of their project can need them.

        None while a dataset cannot be read: they may be its blocks.
        """
        registered = await self._database.datasets()
        if any(row.kind is RowKind.DATASET for row in self._database.damage.rows()):
            return
        named = {block_object(sha256) for owned in registered for sha256 in _hashes(owned)}
        owners: dict[str, list[str]] = {}
        for project, object_id in await self._database.owners(BLOCKS):
            owners.setdefault(object_id, []).append(project)
        unregistered = {object_id async for object_id in self._objects.list(BLOCKS)} - named
        now = self._clock.monotonic()
        self._unregistered_since = {one: self._unregistered_since.get(one, now) for one in unregistered}
        deleted = 0
        for object_id in sorted(unregistered):
            projects = owners.get(object_id, [])
            if self._abandoned(object_id, projects):
                for project in projects:
                    await self._database.remove_owner(project, (object_id,))
                await self._objects.delete(object_id)
                deleted += 1
        if deleted:
            _log.info("%d blocks were deleted: no dataset has named them for a day.", deleted)

    def _abandoned(self, object_id: str, projects: Iterable[str]) -> bool:
        since = self._unregistered_since.get(object_id)
        if since is None:
            return False
        times = [since, *(self._uploads_at.get(one, 0.0) for one in projects)]
        return self._clock.monotonic() - max(times) >= _ABANDONED_SECONDS

    def _names(self, project: str, sha256: str) -> bool:
        return any(one.project in (None, project) for one in self.datasets_of(sha256))

    async def _stored(self, block: Block) -> bool:
        try:
            return await self._objects.size_bytes(block_object(block.sha256)) == block.compressed_bytes
        except NotFound:
            return False


def _hashes(owned: OwnedDataset) -> Iterable[str]:
    return (block.sha256 for split in owned.dataset.splits.values() for block in split.blocks)


def _same_place(one: OwnedDataset, other: OwnedDataset) -> bool:
    return (one.project, one.dataset.name) == (other.project, other.dataset.name)


def block_object(sha256: str) -> str:
    """The object id of a block."""
    return f"{BLOCKS}{sha256[:2]}/{sha256}"
