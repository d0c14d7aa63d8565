"""What engines promise of allocations, on the engine that needs no cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from headway.core.allocation import Observation, Over, SeatEnded, SeatUp, Waiting, WaitingCause
from headway.core.job import JobSpec
from headway.engines.base import AllocationRequest, EngineSetup
from headway.engines.local import LocalEngine
from headway.errors import InvalidInput, SettingInvalid

pytestmark = pytest.mark.anyio
SPEC = JobSpec(trainer="mlp", dataset="digits", world_size=2)


def asked_for(number: int) -> AllocationRequest:
    return AllocationRequest(
        id=f"j-x-{number}", job="j-x", job_name="x", project="default", spec=SPEC, seats=2, slots_per_seat=1, token="t"
    )


class Started:
    """One server's life of the engine, and what it observed, which is read one by one."""

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine
        self._observed = engine.observe()

    async def next(self) -> Observation:
        async with asyncio.timeout(30):
            return await anext(self._observed)

    async def ups(self) -> dict[int, str]:
        """The next two starts of seats, by seat."""
        found = [await self.next(), await self.next()]
        assert all(isinstance(one, SeatUp) for one in found), found
        return {one.seat: one.start for one in found if isinstance(one, SeatUp)}


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[[], Awaitable[Started]]]:
    folder, engines = tmp_path / "engine", []

    async def start() -> Started:
        engine = LocalEngine("local:?slots=3")
        await engine.open(EngineSetup(installation="i", server_url="http://127.0.0.1:1", folder=folder))
        engines.append(engine)
        return Started(engine)

    yield start
    for engine in engines:
        await engine.close()
    for process in processes(folder):
        process.kill()


def processes(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(word.startswith(f"{folder}/") for word in process.cmdline()):
                found.append(process)
    return found


async def test_an_allocation_is_made_once_adopted_by_the_next_server_replaced_and_released(
    start: Callable[[], Awaitable[Started]], tmp_path: Path
) -> None:
    first = await start()
    await first.engine.request(asked_for(1))
    await first.engine.request(asked_for(1))
    starts = await first.ups()
    await first.engine.request(asked_for(2))
    waiting = await first.next()
    assert isinstance(waiting, Waiting)
    assert waiting.cause is WaitingCause.ROOM
    await first.engine.close()  # its processes stay, as those of a server that was killed

    second = await start()
    await second.engine.adopt([asked_for(1)])
    await second.engine.request(asked_for(1))
    assert await second.ups() == starts
    assert len(processes(tmp_path / "engine")) == 2
    await second.engine.replace("j-x-1", 1, "another start")
    await second.engine.replace("j-x-1", 1, starts[1])
    ended, up = await second.next(), await second.next()
    assert isinstance(ended, SeatEnded)
    assert isinstance(up, SeatUp)
    assert (ended.seat, ended.start, ended.certain) == (1, starts[1], True)
    assert (up.seat, up.start != starts[1]) == (1, True)
    await second.engine.request(asked_for(2))
    assert isinstance(await second.next(), Waiting)
    await second.engine.release("j-x-1")
    told = [await second.next() for _ in range(3)]
    assert Over("j-x-1") in told
    assert set((await second.ups()).keys()) == {0, 1}, "the next one has room now"

    third = await start()
    await second.engine.close()
    await third.engine.adopt([])
    async with asyncio.timeout(30):
        while processes(tmp_path / "engine"):
            await asyncio.sleep(0.05)
    await third.engine.release("j-x-unknown")
    assert await third.next() == Over("j-x-unknown")


async def test_what_does_not_fit_the_machine_or_the_engine_is_refused() -> None:
    engine = LocalEngine("local:?slots=3")
    await engine.check(SPEC)
    with pytest.raises(InvalidInput, match="world_size needs 4 slots"):
        await engine.check(SPEC.model_copy(update={"world_size": 4}))
    for url in ("local:?slots=0", "local:?slots=x", "local:?cores=4"):
        with pytest.raises(SettingInvalid, match="HEADWAY_ENGINE_URLS"):
            LocalEngine(url)
