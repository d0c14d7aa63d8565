"""The worker's dataset cache: complete or absent, within its bound, and never dropped while in use."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from headway.core.dataset import Dataset
from headway.errors import TooLarge, Unavailable
from headway.formats import blocks
from headway.worker.dataset_cache import DatasetCache

pytestmark = pytest.mark.anyio
SAMPLES = 1000
SIZE_BYTES = SAMPLES * (4 + 8)


class Store:
    """Blocks of datasets. Those of `held` are given out only after `let_go`."""

    def __init__(self, *names: str) -> None:
        self.contents: dict[str, bytes] = {}
        self.owner: dict[str, str] = {}
        self.datasets = {name: self._make(number, name) for number, name in enumerate(names)}
        self.fetched: list[str] = []
        self.held: set[str] = set()
        self.let_go = asyncio.Event()

    def _make(self, number: int, name: str) -> Dataset:
        arrays = {"input": np.full((SAMPLES, 1), number, "float32"), "label": np.zeros(SAMPLES, "int64")}
        splits, contents = blocks.cut_splits({"train": arrays})
        self.contents |= {block.sha256: content for block, content in contents}
        self.owner |= {block.sha256: name for block, _ in contents}
        return Dataset(name=name, classes=1, splits=splits, mean=0, deviation=1, full_scale=1)

    async def fetch(self, sha256: str) -> bytes:
        self.fetched.append(self.owner[sha256])
        if self.owner[sha256] in self.held:
            await self.let_go.wait()
        return self.contents[sha256]


def cached(folder: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in folder.iterdir())


async def some_turns() -> None:
    """Let other tasks run, also those that wait for a thread."""
    for _ in range(20):
        await asyncio.sleep(0.005)


async def test_a_dataset_being_assembled_counts_and_is_not_dropped(tmp_path: Path) -> None:
    """Given space for one dataset that is being assembled, another one waits until it is released."""
    store = Store("one", "two")
    store.held = {"one"}
    cache = DatasetCache(tmp_path, int(1.5 * SIZE_BYTES), store.fetch)
    one = asyncio.create_task(cache.acquire(store.datasets["one"]))
    await some_turns()
    two = asyncio.create_task(cache.acquire(store.datasets["two"]))
    await some_turns()
    assert store.fetched == ["one"]
    store.let_go.set()
    folder = await one
    assert np.load(folder / "train.input.npy").sum() == 0
    await some_turns()
    assert not two.done()
    assert cached(tmp_path) == ["one"]
    cache.release(store.datasets["one"])
    assert np.load(await two / "train.input.npy").sum() == SAMPLES
    assert cached(tmp_path) == ["two"]


async def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    store = Store("one", "two", "three")
    cache = DatasetCache(tmp_path, int(2.5 * SIZE_BYTES), store.fetch)
    for name in ("one", "two", "one", "three", "one"):
        await cache.acquire(store.datasets[name])
        cache.release(store.datasets[name])
        await asyncio.sleep(0.02)
    assert store.fetched == ["one", "two", "three"]
    assert cached(tmp_path) == ["one", "three"]


async def test_a_dataset_above_the_bound_is_refused_and_drops_nothing(tmp_path: Path) -> None:
    store = Store("small", "large")
    splits = store.datasets["large"].splits
    large = store.datasets["large"].model_copy(update={"splits": {"train": splits["train"], "test": splits["train"]}})
    cache = DatasetCache(tmp_path, int(1.5 * SIZE_BYTES), store.fetch)
    await cache.acquire(store.datasets["small"])
    cache.release(store.datasets["small"])
    with pytest.raises(TooLarge, match=r"Dataset large has 24,000 bytes.* holds 18,000\. .*--dataset-cache"):
        await cache.acquire(large)
    assert cached(tmp_path) == ["small"]


async def test_a_failed_fetch_leaves_nothing(tmp_path: Path) -> None:
    """Its reserved space is free as well: another dataset can use all of it."""
    store = Store("one", "two")

    async def fetch(sha256: str) -> bytes:
        if store.owner[sha256] == "one":
            raise Unavailable("no server")
        return store.contents[sha256]

    cache = DatasetCache(tmp_path, int(1.5 * SIZE_BYTES), fetch)
    with pytest.raises(ExceptionGroup):
        await cache.acquire(store.datasets["one"])
    assert cached(tmp_path) == []
    await cache.acquire(store.datasets["two"])


async def test_several_attempts_share_one_assembly(tmp_path: Path) -> None:
    store = Store("one")
    cache = DatasetCache(tmp_path, 10 * SIZE_BYTES, store.fetch)
    folders = await asyncio.gather(*(cache.acquire(store.datasets["one"]) for _ in range(5)))
    assert (len(set(folders)), store.fetched) == (1, ["one"])


async def test_a_partly_assembled_dataset_of_a_killed_worker_is_removed(tmp_path: Path) -> None:
    store = Store("one")
    left = tmp_path / ".new-left"
    left.mkdir()
    (left / "train.input.npy").write_bytes(b"half")
    await DatasetCache(tmp_path, 10 * SIZE_BYTES, store.fetch).acquire(store.datasets["one"])
    assert not left.exists()
