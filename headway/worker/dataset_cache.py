"""Datasets on the worker's disk, as flat files that all its ranks map into memory."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from headway.core.dataset import Block, Dataset, Split
from headway.errors import TooLarge
from headway.formats import blocks
from headway.rank_protocol.paths import DATASET_FILE, array_file

_log = logging.getLogger(__name__)
_PARALLEL_BLOCKS = 4
_UNFINISHED = ".new-"


class DatasetCache:
    """One folder per dataset, complete or absent. A dataset is fetched once, however many attempts need it.

    Datasets in use or being assembled count towards the bound and are never dropped. A dataset that does not fit beside
    them waits until one is released.
    """

    def __init__(self, folder: Path, maximum_bytes: int, fetch: Callable[[str], Awaitable[bytes]]) -> None:
        self._folder = folder
        self._maximum_bytes = maximum_bytes
        self._fetch = fetch
        self._fetching: dict[str, asyncio.Lock] = {}
        self._used: dict[str, int] = {}
        self._assembling: dict[str, int] = {}
        self._making_room = asyncio.Lock()
        self._released = asyncio.Event()
        self._swept = False

    async def acquire(self, dataset: Dataset) -> Path:
        """The dataset's folder, with the index and a file `SPLIT.ARRAY.npy` per array. It stays until it is released.

        Raises TooLarge for a dataset above the cache's bound, Corrupt when a block does not match its hash, and the
        errors of `fetch`.
        """
        name = _folder_name(dataset)
        self._used[name] = self._used.get(name, 0) + 1
        try:
            async with self._fetching.setdefault(name, asyncio.Lock()):
                folder = self._folder / name
                if not await asyncio.to_thread(folder.is_dir):
                    await self._fetch_whole(dataset, name, folder)
                os.utime(folder)
                return folder
        except BaseException:
            self.release(dataset)
            raise

    def release(self, dataset: Dataset) -> None:
        """Release a dataset that was acquired."""
        name = _folder_name(dataset)
        self._used[name] -= 1
        if not self._used[name]:
            del self._used[name]
        self._released.set()

    async def _fetch_whole(self, dataset: Dataset, name: str, folder: Path) -> None:
        size_bytes = sum(split.bytes for split in dataset.splits.values())
        if size_bytes > self._maximum_bytes:
            raise TooLarge(
                f"Dataset {dataset.name} has {size_bytes:,} bytes, but this worker's dataset cache holds "
                f"{self._maximum_bytes:,}. Start the worker with a larger --dataset-cache."
            )
        try:
            async with self._making_room:
                await self._make_room(size_bytes)
                self._assembling[name] = size_bytes
            await self._assemble(dataset, folder)
        finally:
            self._assembling.pop(name, None)
            self._released.set()

    async def _assemble(self, dataset: Dataset, folder: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._folder))
        try:
            for split_name, split in dataset.splits.items():
                await self._assemble_split(split_name, split, temporary)
            (temporary / DATASET_FILE).write_text(dataset.model_dump_json(exclude={"splits": {"__all__": {"blocks"}}}))
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    async def _assemble_split(self, split_name: str, split: Split, folder: Path) -> None:
        for name, array in split.arrays.items():
            array_file(folder, split_name, name).write_bytes(blocks.npy_header(array, split.sample_count))
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

    async def _make_room(self, needed_bytes: int) -> None:
        """Drop unused datasets, the least recently used first, until `needed_bytes` fit. Wait if that is not enough."""
        if not self._swept:
            self._swept = True
            for path in self._folder.glob(f"{_UNFINISHED}*"):  # left by a worker that was killed
                await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
        while True:
            self._released.clear()
            sizes = await asyncio.to_thread(self._sizes)
            excess_bytes = sum(sizes.values()) + sum(self._assembling.values()) + needed_bytes - self._maximum_bytes
            for path, size_bytes in sizes.items():
                if excess_bytes <= 0:
                    return
                if path.name not in self._used:
                    await self._drop(path)
                    excess_bytes -= size_bytes
            if excess_bytes <= 0:
                return
            _log.info("The dataset cache waits for room for %d bytes: all other datasets are in use.", needed_bytes)
            await self._released.wait()

    async def _drop(self, path: Path) -> None:
        """Drop a dataset at once. The next attempt that needs it fetches it again."""
        doomed = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._folder))
        path.rename(doomed)
        await asyncio.to_thread(shutil.rmtree, doomed, ignore_errors=True)
        _log.info("Dataset %s was dropped from the cache to make room.", path.name)

    def _sizes(self) -> dict[Path, int]:
        """The sizes of complete datasets in bytes, the least recently used first."""
        folders = [path for path in self._folder.glob("*") if not path.name.startswith(_UNFINISHED)]
        folders.sort(key=lambda path: path.stat().st_mtime)
        return {path: sum(file.stat().st_size for file in path.iterdir()) for path in folders if path.is_dir()}


def _folder_name(dataset: Dataset) -> str:
    return f"{dataset.name}-{hashlib.sha256(dataset.model_dump_json().encode()).hexdigest()[:12]}.npy"


def _write_block(
    split_name: str, split: Split, block: Block, compressed: bytes, first_sample: int, folder: Path
) -> None:
    blocks.verify(block, compressed)
    for array, content in blocks.unpack(split, block, compressed).items():
        header_bytes = len(blocks.npy_header(split.arrays[array], split.sample_count))
        with array_file(folder, split_name, array).open("r+b") as file:
            file.seek(header_bytes + first_sample * split.arrays[array].sample_bytes)
            file.write(content)
