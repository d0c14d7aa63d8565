"""Datasets on the worker's disk: flat files that all its ranks map into memory."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from headway import blocks
from headway.core.dataset import Block, Dataset, Split

_log = logging.getLogger(__name__)
_PARALLEL_BLOCKS = 4
INDEX_FILE = "dataset.json"


class DatasetCache:
    """One folder per dataset, complete or absent; fetched once however many attempts ask."""

    def __init__(self, folder: Path, maximum_bytes: int, fetch: Callable[[str], Awaitable[bytes]]) -> None:
        self._folder = folder
        self._maximum_bytes = maximum_bytes
        self._fetch = fetch
        self._fetching: dict[str, asyncio.Lock] = {}
        self._used: dict[str, int] = {}

    async def acquire(self, dataset: Dataset) -> Path:
        """The dataset's folder, with a file `SPLIT.ARRAY.npy` per array and the index; it stays until released.

        Raises Corrupt when a block does not match its hash, and what `fetch` raises.
        """
        name = _folder_name(dataset)
        async with self._fetching.setdefault(name, asyncio.Lock()):
            folder = self._folder / name
            if not await asyncio.to_thread(folder.is_dir):
                await self._evict(sum(split.bytes for split in dataset.splits.values()))
                await self._assemble(dataset, folder)
            os.utime(folder)
            self._used[name] = self._used.get(name, 0) + 1
            return folder

    def release(self, dataset: Dataset) -> None:
        """The attempt that acquired it needs it no more."""
        self._used[_folder_name(dataset)] -= 1

    async def _assemble(self, dataset: Dataset, folder: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            for split_name, split in dataset.splits.items():
                await self._assemble_split(split_name, split, temporary)
            (temporary / INDEX_FILE).write_text(dataset.model_dump_json(exclude={"splits": {"__all__": {"blocks"}}}))
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    async def _assemble_split(self, split_name: str, split: Split, folder: Path) -> None:
        for name, array in split.arrays.items():
            (folder / f"{split_name}.{name}.npy").write_bytes(blocks.npy_header(array, split.sample_count))
        limit = asyncio.Semaphore(_PARALLEL_BLOCKS)

        async def place(block: Block, first_sample: int) -> None:
            async with limit:
                compressed = await self._fetch(block.sha256)
                await asyncio.to_thread(_write_block, split_name, split, block, compressed, first_sample, folder)

        first_sample = 0
        async with asyncio.TaskGroup() as group:
            for block in split.blocks:
                group.create_task(place(block, first_sample))
                first_sample += block.sample_count

    async def _evict(self, needed_bytes: int) -> None:
        folders = [path for path in self._folder.glob("*") if path.is_dir()]
        sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in folders}
        total_bytes = sum(sizes.values()) + needed_bytes
        for path in sorted(folders, key=lambda path: path.stat().st_mtime):
            if total_bytes <= self._maximum_bytes:
                return
            if not self._used.get(path.name):
                await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
                total_bytes -= sizes[path]
                _log.info("Dataset %s was dropped from the cache to make room.", path.name)


def _folder_name(dataset: Dataset) -> str:
    return f"{dataset.name}-{hashlib.sha256(dataset.model_dump_json().encode()).hexdigest()[:12]}.npy"


def _write_block(
    split_name: str, split: Split, block: Block, compressed: bytes, first_sample: int, folder: Path
) -> None:
    blocks.verify(block, compressed)
    for array, content in blocks.unpack(split, block, compressed).items():
        header_bytes = len(blocks.npy_header(split.arrays[array], split.sample_count))
        with (folder / f"{split_name}.{array}.npy").open("r+b") as file:
            file.seek(header_bytes + first_sample * split.arrays[array].sample_bytes)
            file.write(content)
