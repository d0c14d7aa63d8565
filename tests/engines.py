"""An engine as the leading server has it, and what it observes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from headway.backend_registry import backend
from headway.core.allocation import Observation, SeatUp
from headway.engines.base import AllocatingEngine, AllocationRequest, EngineSetup

Kind = TypeVar("Kind", bound=Observation)


class Told:
    """What the engine observes, in order."""

    def __init__(self, engine: AllocatingEngine) -> None:
        self.all: list[Observation] = []
        self._task = asyncio.create_task(self._read(engine))

    async def _read(self, engine: AllocatingEngine) -> None:
        async for observation in engine.observe():
            self.all.append(observation)

    async def next(self, kind: type[Kind], fits: Callable[[Kind], bool] = lambda _: True, seconds: float = 30) -> Kind:
        """The first that fits and was not given yet."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for number, one in enumerate(self.all):
                if isinstance(one, kind) and fits(one):
                    del self.all[number]
                    return one
            await asyncio.sleep(0.05)
        raise AssertionError(f"no such {kind.__name__} among {self.all}")

    async def up(self, seats: int) -> dict[int, str]:
        """The starts of so many seats, once they are up."""
        starts: dict[int, str] = {}
        while len(starts) < seats:
            seen = await self.next(SeatUp)
            starts[seen.seat] = seen.start
        return starts

    def stop(self) -> None:
        self._task.cancel()


@asynccontextmanager
async def leading(
    url: str, folder: Path, *, owned: tuple[AllocationRequest, ...] = ()
) -> AsyncIterator[tuple[AllocatingEngine, Told]]:
    """One server's life of the engine, and what it observes. What it made stays, as after the death of a server."""
    engine: AllocatingEngine = backend("engine", url)(url)
    await engine.open(EngineSetup(installation="i-1", server_url="http://127.0.0.1:1", folder=folder))
    await engine.adopt(owned)
    told = Told(engine)
    try:
        yield engine, told
    finally:
        told.stop()
        await engine.close()
