"""What every engine promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headway.backend_registry import backend
from headway.core.allocation import Over, SeatEnded, SeatUp, Waiting, WaitingCause
from headway.core.job import JobSpec
from headway.engines.base import AllocatingEngine, AllocationRequest, EngineSetup
from tests.conformance.backends import run, schemes
from tests.conformance.engine_sites import Site, site_of
from tests.engines import leading
from tests.fleet import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.kubernetes, pytest.mark.timeout(900)]  # one waits for the cluster
ALLOCATING = [name for name in schemes("engine") if issubclass(backend("engine", f"{name}:"), AllocatingEngine)]


@dataclass
class World:
    """An engine's URL, the folder for its files, and its machines."""

    url: str
    folder: Path
    site: Site

    async def starts(self, allocation: str) -> set[str]:
        return await asyncio.to_thread(self.site.starts, allocation)

    async def nothing_left(self) -> None:
        await asyncio.to_thread(wait_until, lambda: not self.site.left(), "the end of everything")

    def asked_for(self, number: int, more: dict[str, Any] | None = None) -> AllocationRequest:
        spec = JobSpec.model_validate({"trainer": "mlp", "dataset": "digits", "world_size": 2, **(more or {})})
        return AllocationRequest(
            id=f"j-x-{number}", job="j-x", job_name="x", project="default", spec=spec, seats=2, slots_per_seat=1,
            token="a-token",
        )  # fmt: skip


@pytest.fixture(params=ALLOCATING)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    folder = tmp_path / "engine"
    async with run("engine", request.param, tmp_path) as url:
        made = World(url, folder, site_of(url, folder))
        yield made
        async with leading(url, folder):  # as no job owns anything, all of it is released
            await made.nothing_left()


@pytest.mark.parametrize("scheme", schemes("engine"))
async def test_an_engine_takes_a_plain_job(scheme: str, tmp_path: Path) -> None:
    async with run("engine", scheme, tmp_path) as url:
        engine = backend("engine", url)(url)
        assert engine.name == scheme
        if isinstance(engine, AllocatingEngine):
            await engine.open(EngineSetup(installation="i-1", server_url="http://127.0.0.1:1", folder=tmp_path))
        await engine.check(JobSpec(trainer="mlp", dataset="digits"))
        if isinstance(engine, AllocatingEngine):
            await engine.close()


async def test_an_allocation_is_made_once_adopted_by_the_next_server_and_released(world: World) -> None:
    wanted, orphan, later = (world.asked_for(number, world.site.half) for number in range(3))
    async with leading(world.url, world.folder) as (engine, told):
        await engine.request(wanted)
        await engine.request(wanted)
        starts = await told.up(2)
        assert set(starts) == {0, 1}
        await engine.request(orphan)
        waiting = await told.next(Waiting, lambda one: one.allocation == orphan.id and one.cause is WaitingCause.ROOM)
        assert waiting.sentence
    async with leading(world.url, world.folder, owned=(wanted,)) as (engine, told):
        await engine.request(wanted)
        assert await told.up(2) == starts, "what exists is told first"
        assert await world.starts(wanted.id) == set(starts.values())
        await until_none(world, orphan.id)
        await engine.request(later)
        await engine.release(wanted.id)
        await engine.release(wanted.id)
        await told.next(Over, lambda one: one == Over(wanted.id))
        assert set(await told.up(2)) == {0, 1}, "the next one has room now"
        assert await world.starts(wanted.id) == set()
        for released in (wanted.id, "j-x-unknown"):
            told.all.clear()
            await engine.release(released)
            await told.next(Over, lambda one, released=released: one == Over(released))  # type: ignore[misc]
        assert len(await world.starts(later.id)) == 2


async def until_none(world: World, allocation: str) -> None:
    await asyncio.to_thread(wait_until, lambda: not world.site.starts(allocation), "the end of what no job owns")


async def test_a_seat_that_ends_is_told_once_and_started_again_when_the_server_says_so(world: World) -> None:
    wanted = world.asked_for(1)
    async with leading(world.url, world.folder) as (engine, told):
        await engine.request(wanted)
        starts = await told.up(2)
        await asyncio.to_thread(world.site.end, starts[1])
        ended = await told.next(SeatEnded)
        assert (ended.allocation, ended.seat, ended.start, ended.certain) == (wanted.id, 1, starts[1], True)
        assert ended.sentence
        await engine.request(wanted)
        assert await world.starts(wanted.id) == {starts[0]}, "a request starts nothing again"

        await engine.replace(wanted.id, 1, starts[1])
        again = await told.next(SeatUp)
        assert (again.seat, again.start in starts.values()) == (1, False)
        for start in (starts[1], "another start"):
            await engine.replace(wanted.id, 1, start)
        assert await world.starts(wanted.id) == {starts[0], again.start}, "once"

        await engine.replace(wanted.id, 0, starts[0])  # its worker is lost, and it still runs
        ended = await told.next(SeatEnded)
        assert (ended.seat, ended.start) == (0, starts[0])
        survivor = await told.next(SeatUp)
        assert await world.starts(wanted.id) == {survivor.start, again.start}
        assert not [one for one in told.all if isinstance(one, SeatEnded | SeatUp)]


async def test_a_seat_that_ended_while_no_server_watched_is_told_to_the_next(world: World) -> None:
    wanted = world.asked_for(1)
    async with leading(world.url, world.folder) as (engine, told):
        await engine.request(wanted)
        starts = await told.up(2)
    await asyncio.to_thread(world.site.end, starts[1])
    await asyncio.to_thread(wait_until, lambda: world.site.starts(wanted.id) == {starts[0]}, "its end")
    async with leading(world.url, world.folder, owned=(wanted,)) as (engine, told):
        await engine.request(wanted)
        assert await told.up(1) == {0: starts[0]}
        await engine.replace(wanted.id, 1, starts[1])
        assert set(await told.up(1)) == {1}
        assert len(await world.starts(wanted.id)) == 2


async def test_an_allocation_that_was_released_before_its_seats_were_up_leaves_nothing(world: World) -> None:
    wanted = world.asked_for(1)
    async with leading(world.url, world.folder) as (engine, told):
        await engine.request(wanted)
        await engine.release(wanted.id)
        await told.next(Over, lambda one: one == Over(wanted.id))
        await world.nothing_left()
