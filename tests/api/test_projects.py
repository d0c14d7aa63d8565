"""What projects share and what not: knowing a hash is not enough to get an archive or a block."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from headway.core.dataset import Block, Dataset
from headway.core.job import JobSpec
from headway.errors import InvalidInput, NotFound
from headway.formats import blocks
from headway.formats.dataset_files import describe, prepare
from headway.server.access import Caller, CallerKind
from headway.server.server import Server
from headway.server.services.snapshots import Snapshots, snapshot_object
from headway.server.startup import started
from headway.settings import Settings
from tests.api.conftest import Api

pytestmark = pytest.mark.anyio
USER = Caller(CallerKind.USER)


def a_sweeper(server: Server) -> Snapshots:
    return Snapshots(server.backends.objects, server.backends.database, server.jobs, maximum_bytes=100)


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def a_dataset(name: str, start: int = 0) -> tuple[Dataset, list[tuple[Block, bytes]]]:
    inputs = np.arange(start, start + 40 * 4, dtype=np.int64).reshape(40, 2, 2)
    arrays = prepare({split: {"input": inputs, "label": np.arange(40) % 3} for split in ("train", "test")}, "test")
    splits, contents = blocks.cut_splits(arrays)
    return describe(name, arrays, splits, "test"), contents


async def send(server: Server, project: str, contents: list[tuple[Block, bytes]]) -> None:
    for block, compressed in contents:
        await server.blocks.store(USER, project, block.sha256, once(compressed))


async def test_a_project_has_the_snapshots_that_it_sent(api: Api) -> None:
    """Given a snapshot of one project, then another that knows its hash can neither read nor name it."""
    snapshots, sha256 = api.server.snapshots, hashlib.sha256(b"code").hexdigest()
    await snapshots.store(USER, "p", sha256, once(b"code"))
    assert await snapshots.size_bytes("p", sha256) == 4
    with pytest.raises(NotFound) as absent:
        await snapshots.size_bytes("q", "0" * 64)
    with pytest.raises(NotFound) as others:
        await snapshots.size_bytes("q", sha256)
    assert str(others.value) == str(absent.value).replace("0" * 12, sha256[:12]), "it looks absent"
    spec = JobSpec(command=("true",), snapshot=sha256)
    await api.server.specs.check("p", spec)
    with pytest.raises(NotFound):
        await api.server.specs.check("q", spec)
    with pytest.raises(InvalidInput):
        await snapshots.store(USER, "q", sha256, once(b"other"))
    with pytest.raises(NotFound):
        await snapshots.size_bytes("q", sha256)
    await snapshots.store(USER, "q", sha256, once(b"code"))
    assert await snapshots.size_bytes("q", sha256) == 4, "a project that has the bytes may use them"


async def test_a_snapshot_is_kept_as_long_as_one_project_needs_it(api: Api) -> None:
    """Given one archive in two projects, when one project stops using it, then the other still has it."""
    server, sha256 = api.server, hashlib.sha256(b"code").hexdigest()
    for project in ("default", "q"):
        await server.snapshots.store(USER, project, sha256, once(b"code"))
    job = await api.submit(command=["true"], script=None, source=None, snapshot=sha256)
    snapshots = a_sweeper(server)  # nothing else sweeps it
    for _ in range(2):
        await snapshots.sweep()
    assert await server.backends.database.owners("snapshots/") == {("default", snapshot_object(sha256))}
    assert await snapshots.size_bytes("default", sha256) == 4
    await api.http.post(f"/api/v1/jobs/{job['id']}/cancel")
    assert (await api.http.delete(f"/api/v1/jobs/{job['id']}")).status_code == 204
    for _ in range(2):
        await snapshots.sweep()
    assert await server.backends.database.owners("snapshots/") == set()
    with pytest.raises(NotFound):
        await server.backends.objects.size_bytes(snapshot_object(sha256))


async def test_a_sweep_gives_a_jobs_project_the_snapshot_that_it_names(api: Api) -> None:
    """Given a job from a server version without owners of snapshots, then its snapshot is kept and usable."""
    server, sha256 = api.server, hashlib.sha256(b"code").hexdigest()
    await server.snapshots.store(USER, "default", sha256, once(b"code"))
    await api.submit(command=["true"], script=None, source=None, snapshot=sha256)
    await server.backends.database.remove_owner("default", [snapshot_object(sha256)])
    snapshots = a_sweeper(server)
    for _ in range(3):
        await snapshots.sweep()
    assert await snapshots.size_bytes("default", sha256) == 4


async def test_a_snapshot_used_between_sweeps_is_kept(api: Api) -> None:
    server, sha256 = api.server, hashlib.sha256(b"code").hexdigest()
    snapshots = a_sweeper(server)
    await snapshots.store(USER, "p", sha256, once(b"code"))
    await snapshots.sweep()
    assert await snapshots.size_bytes("p", sha256) == 4
    await snapshots.sweep()
    assert await snapshots.size_bytes("p", sha256) == 4


async def test_two_projects_have_datasets_of_one_name(api: Api) -> None:
    datasets = api.server.datasets
    mine, mine_contents = a_dataset("mine")
    other, other_contents = a_dataset("mine", start=7)
    await send(api.server, "p", mine_contents)
    await send(api.server, "q", other_contents)
    await datasets.add(USER, "p", mine)
    await datasets.add(USER, "q", other)
    assert (await datasets.find("p", "mine"), await datasets.find("q", "mine")) == (mine, other)
    assert (datasets.list(USER, "p"), datasets.list(USER, "q"), datasets.list(USER, "r")) == ([mine], [other], [])
    with pytest.raises(NotFound):
        datasets.get(USER, "r", "mine")
    with pytest.raises(InvalidInput, match="There are: digits, mnist"):
        await datasets.find("r", "mine")


async def test_a_project_reads_only_blocks_of_its_datasets(api: Api) -> None:
    """Given a dataset of one project, then another can neither read its blocks nor name them in a dataset."""
    server = api.server
    dataset, contents = a_dataset("mine")
    only = {block.sha256 for block, _ in contents}
    (sha256, *_) = only
    await send(server, "p", contents)
    await server.datasets.add(USER, "p", dataset)
    assert await server.backends.database.owners("blocks/") == set(), "the index replaces the owners"
    content = {block.sha256: compressed for block, compressed in contents}[sha256]
    assert await server.datasets.block(USER, "p", sha256) == content
    with pytest.raises(NotFound, match="does not exist"):
        await server.datasets.block(USER, "q", sha256)
    assert await server.blocks.missing(USER, "p", [block for block, _ in contents]) == set()
    assert await server.blocks.missing(USER, "q", [block for block, _ in contents]) == only
    with pytest.raises(InvalidInput, match="blocks that were not sent"):
        await server.datasets.add(USER, "q", dataset)
    await send(server, "q", contents)
    await server.datasets.add(USER, "q", dataset)
    assert await server.datasets.block(USER, "q", sha256) == content


async def test_blocks_that_were_sent_before_a_restart_are_still_the_projects(tmp_path: Path) -> None:
    """Given an upload that a restart interrupts, when it continues, then only the rest is sent, and its dataset is
    registered.
    """
    dataset, contents = a_dataset("mine")
    async with started(Server(Settings(home=tmp_path))):
        pass
    first = Server(Settings(home=tmp_path))
    async with started(first):
        await send(first, "p", contents)
    second = Server(Settings(home=tmp_path))
    async with started(second):
        assert await second.blocks.missing(USER, "p", [block for block, _ in contents]) == set()
        await second.datasets.add(USER, "p", dataset)
    third = Server(Settings(home=tmp_path))
    async with started(third):
        assert third.datasets.list(USER, "p") == [dataset]
        assert await third.datasets.block(USER, "p", contents[0][0].sha256) == contents[0][1]


async def test_built_in_datasets_are_shared_and_a_projects_own_comes_first(api: Api) -> None:
    """Given a built-in dataset registered for one project, then every project reads it, and none may use its name."""
    server = api.server
    digits = await server.datasets.find("p", "digits")
    assert server.datasets.get(USER, "q", "digits").splits == digits.splits
    assert len(await server.datasets.block(USER, "q", digits.splits["train"].blocks[0].sha256)) > 0
    own, contents = a_dataset("mnist")
    await send(server, "p", contents)
    await server.datasets.add(USER, "p", own)
    assert await server.datasets.find("p", "mnist") == own
    assert [one.name for one in server.datasets.list(USER, "p")] == ["digits", "mnist"]
    assert [one.name for one in server.datasets.list(USER, "q")] == ["digits"]
