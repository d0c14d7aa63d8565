"""The verbs of datasets: find (registering a built-in one at its first use), list, read a block."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from headway.caches.base import Cache
from headway.core.dataset import MAXIMUM_BLOCK_BYTES, Block, Dataset, check_index
from headway.database.base import Database
from headway.errors import Conflict, DatasetMissing, InvalidInput, NotFound, TooLarge
from headway.formats import blocks
from headway.objects.base import Objects, in_one_chunk

BUILT_IN = ("digits", "mnist")


class Datasets:
    """Indexes in the database, blocks in the object store, hot blocks in the cache."""

    def __init__(self, database: Database, objects: Objects, cache: Cache, directories: tuple[Path, ...]) -> None:
        self._database = database
        self._objects = objects
        self._cache = cache
        self._directories = directories
        self._known: dict[str, Dataset] = {}
        self._registering = asyncio.Lock()

    async def open(self) -> None:
        """Learn what is registered."""
        self._known = {dataset.name: dataset for dataset in await self._database.datasets()}

    async def find(self, name: str) -> Dataset:
        """The dataset's index; a built-in one is registered at its first use.

        Raises InvalidInput that lists what there is, or says where the source was looked for.
        """
        async with self._registering:
            if name not in self._known:
                if name not in BUILT_IN:
                    known = ", ".join(sorted({*self._known, *BUILT_IN}))
                    raise InvalidInput(f"Dataset {name} does not exist. There are: {known}.")
                self._known[name] = await self._register(name)
            return self._known[name]

    def get(self, name: str) -> Dataset:
        """A registered dataset. Raises NotFound."""
        if name not in self._known:
            raise NotFound(f"Dataset {name} is not registered. `headway datasets` lists those that are.")
        return self._known[name]

    def list(self) -> list[Dataset]:
        """The registered datasets, by name."""
        return sorted(self._known.values(), key=lambda dataset: dataset.name)

    async def block(self, sha256: str) -> bytes:
        """A block's compressed bytes. Raises NotFound."""
        key = f"block/{sha256}"
        cached = await self._cache.get(key)
        if cached is not None:
            return cached
        content = b"".join([chunk async for chunk in self._objects.get(block_object(sha256))])
        await self._cache.put(key, content)
        return content

    async def store_block(self, sha256: str, chunks: AsyncIterator[bytes]) -> None:
        """Store a block that a user sends. Raises InvalidInput when its bytes have another hash, TooLarge."""
        content = bytearray()
        async for chunk in chunks:
            content += chunk
            if len(content) > MAXIMUM_BLOCK_BYTES:
                raise TooLarge(f"Block {sha256[:12]} is larger than {MAXIMUM_BLOCK_BYTES:,} bytes.")
        if hashlib.sha256(content).hexdigest() != sha256:
            raise InvalidInput(f"Block {sha256[:12]} was sent with other bytes: their hash does not match.")
        await self._objects.put(block_object(sha256), in_one_chunk(bytes(content)))

    async def missing(self, blocks: Iterable[Block]) -> set[str]:
        """The blocks that are not stored yet, by hash."""
        return {block.sha256 for block in blocks if not await self._stored(block)}

    async def add(self, dataset: Dataset) -> Dataset:
        """Register a dataset whose blocks are stored; the same index again changes nothing.

        Raises InvalidInput when blocks are missing or the index does not hold together, Conflict when another
        dataset has the name.
        """
        check_index(dataset)
        async with self._registering:
            known = self._known.get(dataset.name)
            if known is not None and known != dataset:
                raise Conflict(f"Dataset {dataset.name} exists already with other contents. Choose another name.")
            missing = await self.missing(block for split in dataset.splits.values() for block in split.blocks)
            if missing:
                raise InvalidInput(f"Dataset {dataset.name} names {len(missing)} blocks that were not sent.")
            await self._database.put_dataset(dataset)
            self._known[dataset.name] = dataset
            return dataset

    async def _register(self, name: str) -> Dataset:
        folder = next((path / name for path in self._directories if (path / name).is_dir()), None)
        if folder is None:
            looked = ", ".join(str(path) for path in self._directories) or "no directory"
            raise DatasetMissing(
                f"Dataset {name} has no source here: looked in {looked}. Fetch it with `headway datasets add {name}`, "
                f"or set HEADWAY_DATASET_DIRECTORIES to a folder that has {name}/."
            )
        dataset, contents = await asyncio.to_thread(_build, name, folder)
        for block, compressed in contents:
            if not await self._stored(block):
                await self._objects.put(block_object(block.sha256), in_one_chunk(compressed))
        await self._database.put_dataset(dataset)
        return dataset

    async def _stored(self, block: Block) -> bool:
        try:
            return await self._objects.size_bytes(block_object(block.sha256)) == block.compressed_bytes
        except NotFound:
            return False


def _build(name: str, folder: Path) -> tuple[Dataset, list[tuple[Block, bytes]]]:
    from headway.formats.dataset_files import BUILT_IN, describe, prepare, read_dataset

    arrays = prepare(read_dataset(folder / BUILT_IN[name]), str(folder))
    splits, contents = blocks.cut_splits(arrays)
    return describe(name, arrays, splits, folder.name), contents


def block_object(sha256: str) -> str:
    """The object of a block."""
    return f"blocks/{sha256[:2]}/{sha256}"
