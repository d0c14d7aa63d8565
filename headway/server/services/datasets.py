"""The verbs of datasets: find (registering a built-in one at its first use), list, read a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from headway import blocks
from headway.caches.base import Cache
from headway.core.dataset import Block, Dataset, Split
from headway.database.base import Database
from headway.errors import InvalidInput, NotFound
from headway.objects.base import Objects

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

    def list(self) -> list[Dataset]:
        """The registered datasets, by name."""
        return sorted(self._known.values(), key=lambda dataset: dataset.name)

    async def block(self, sha256: str) -> bytes:
        """A block's compressed bytes. Raises NotFound."""
        key = f"block/{sha256}"
        cached = await self._cache.get(key)
        if cached is not None:
            return cached
        content = b"".join([chunk async for chunk in self._objects.get(_object_id(sha256))])
        await self._cache.put(key, content)
        return content

    async def _register(self, name: str) -> Dataset:
        folder = next((path / name for path in self._directories if (path / name).is_dir()), None)
        if folder is None:
            looked = ", ".join(str(path) for path in self._directories) or "no directory"
            raise InvalidInput(
                f"Dataset {name} has no source here: looked in {looked}. Set HEADWAY_DATASET_DIRECTORIES to a "
                f"folder that has {name}/."
            )
        dataset, contents = await asyncio.to_thread(_build, name, folder)
        for block, compressed in contents:
            if not await self._stored(block):
                await self._objects.put(_object_id(block.sha256), _once(compressed))
        await self._database.put_dataset(dataset)
        return dataset

    async def _stored(self, block: Block) -> bool:
        try:
            return await self._objects.size_bytes(_object_id(block.sha256)) == block.compressed_bytes
        except NotFound:
            return False


def _build(name: str, folder: Path) -> tuple[Dataset, list[tuple[Block, bytes]]]:
    from headway.server.services.dataset_sources import SOURCES

    read, classes, full_scale = SOURCES[name]
    contents: list[tuple[Block, bytes]] = []
    splits: dict[str, Split] = {}
    source = read(folder)
    for split, arrays in source.items():
        cut = list(blocks.cut(arrays))
        contents.extend(cut)
        splits[split] = Split(
            sample_count=len(arrays["label"]),
            arrays=blocks.describe_arrays(arrays),
            blocks=tuple(block for block, _ in cut),
        )
    inputs = source["train"]["input"]
    dataset = Dataset(
        name=name,
        classes=classes,
        splits=splits,
        mean=float(inputs.mean()),
        deviation=float(inputs.std()),
        full_scale=full_scale,
        source=folder.name,
    )
    return dataset, contents


def _object_id(sha256: str) -> str:
    return f"blocks/{sha256[:2]}/{sha256}"


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
