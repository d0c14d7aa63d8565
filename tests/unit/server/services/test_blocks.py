"""Blocks that no registered dataset names are deleted, but not those of an upload that is under way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from headway.core.damaged import RowKind
from headway.core.dataset import Block
from headway.database.damage import Damage
from headway.formats import blocks
from headway.formats.dataset_files import describe, prepare
from headway.objects.base import in_one_chunk
from headway.server.access import Caller, CallerKind
from headway.server.services.blocks import BLOCKS
from tests.unit.server.still_server import StillServer, still_server

pytestmark = pytest.mark.anyio
USER = Caller(CallerKind.USER)
DAY_SECONDS = 86_400


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[StillServer]:
    async with still_server(tmp_path) as server:
        yield server


async def send(server: StillServer, project: str, start: int, *, register: bool = False) -> Block:
    """Send the one block of a dataset."""
    inputs = np.arange(start, start + 40 * 4, dtype=np.int64).reshape(40, 2, 2)
    arrays = prepare({split: {"input": inputs, "label": np.arange(40) % 3} for split in ("train", "test")}, "test")
    splits, contents = blocks.cut_splits(arrays)
    block, compressed = contents[0]  # both splits have the same
    await server.blocks.store(USER, project, block.sha256, in_one_chunk(compressed))
    if register:
        await server.datasets.add(USER, project, describe(f"data-{start}", arrays, splits, "test"))
    return block


async def stored(server: StillServer) -> set[str]:
    return {object_id.rpartition("/")[2] async for object_id in server.backends.objects.list(BLOCKS)}


async def sweep_hourly(server: StillServer, hours: int) -> None:
    for _ in range(hours):
        await server.blocks.sweep()
        server.clock.seconds += 3600
    await server.blocks.sweep()


async def test_a_block_without_a_dataset_goes_after_a_day(server: StillServer) -> None:
    abandoned, kept = await send(server, "default", 0), await send(server, "default", 1000, register=True)
    await sweep_hourly(server, 23)
    assert await stored(server) == {abandoned.sha256, kept.sha256}
    await sweep_hourly(server, 1)
    assert await stored(server) == {kept.sha256}
    assert await server.backends.database.owners(BLOCKS) == set()
    assert await server.blocks.missing(USER, "default", [abandoned, kept]) == {abandoned.sha256}


async def test_the_blocks_of_a_deleted_dataset_go_after_a_day(server: StillServer) -> None:
    """Given a block in datasets of two projects, then it goes a day after the last of them was deleted."""
    block = await send(server, "default", 0, register=True)
    await send(server, "other", 0, register=True)
    await server.datasets.delete(USER, "default", "data-0")
    await sweep_hourly(server, 48)
    assert await server.datasets.block(USER, "other", block.sha256)
    assert await server.blocks.missing(USER, "default", [block]) == {block.sha256}
    await server.datasets.delete(USER, "other", "data-0")
    await sweep_hourly(server, 23)
    assert await stored(server) == {block.sha256}
    await sweep_hourly(server, 1)
    assert await stored(server) == set()


async def test_a_block_that_is_sent_again_during_a_sweep_is_kept(
    server: StillServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given two deleted datasets, when one is added again while the other's block is swept, then it has its block."""
    starts = {(await send(server, "default", start, register=True)).sha256: start for start in (0, 1000)}
    for start in starts.values():
        await server.datasets.delete(USER, "default", f"data-{start}")
    objects = server.backends.objects
    delete, kept = objects.delete, set(starts)

    async def delete_while_adding(object_id: str) -> None:
        kept.discard(object_id.rpartition("/")[2])
        for sha256 in kept:
            await send(server, "default", starts[sha256], register=True)
        await delete(object_id)

    monkeypatch.setattr(objects, "delete", delete_while_adding)
    await sweep_hourly(server, 24)
    assert len(kept) == 1
    assert await stored(server) == kept


async def test_an_upload_keeps_its_blocks_as_long_as_it_takes(server: StillServer) -> None:
    """Given a project that sends a block a day, and one that stopped, then only the other's block goes."""
    first, stopped = await send(server, "default", 0), await send(server, "other", 1000)
    for day in range(1, 4):
        await sweep_hourly(server, 23)
        await send(server, "default", day * 10_000)
    assert first.sha256 in await stored(server)
    assert stopped.sha256 not in await stored(server)
    await sweep_hourly(server, 23)
    assert await server.blocks.missing(USER, "default", [first]) == set(), "whoever asks is about to use it"
    await sweep_hourly(server, 23)
    assert first.sha256 in await stored(server)


async def test_a_server_that_starts_lets_a_whole_day_pass(server: StillServer, tmp_path: Path) -> None:
    block = await send(server, "default", 0)
    server.clock.seconds += 10 * DAY_SECONDS
    await server.blocks.sweep()
    assert await stored(server) == {block.sha256}


async def test_nothing_goes_while_a_dataset_cannot_be_read(
    server: StillServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = await send(server, "default", 0)
    with monkeypatch.context() as patched:
        patched.setattr(Damage, "rows", lambda damage: [DamagedDataset()])
        await sweep_hourly(server, 48)
        assert await stored(server) == {block.sha256}
    await sweep_hourly(server, 48)
    assert await stored(server) == set()


class DamagedDataset:
    kind = RowKind.DATASET
