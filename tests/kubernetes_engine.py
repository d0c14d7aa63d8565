"""An engine of Kubernetes as the leading server has it, and what it tells."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from headway.core.allocation import Observation, SeatUp, Waiting, WaitingCause
from headway.core.job import JobSpec
from headway.engines.base import AllocationRequest, EngineSetup
from headway.engines.kubernetes.engine import KubernetesEngine
from tests.cluster import Namespace, engine_url

Kind = TypeVar("Kind", bound=Observation)


class Told:
    """What the engine observes, in order."""

    def __init__(self, engine: KubernetesEngine) -> None:
        self.all: list[Observation] = []
        self._task = asyncio.create_task(self._read(engine))

    async def _read(self, engine: KubernetesEngine) -> None:
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
async def running(
    namespace: Namespace, folder: Path, *, owned: tuple[AllocationRequest, ...] = ()
) -> AsyncIterator[Any]:
    """An engine as the leading server has it, and what it tells."""
    engine = KubernetesEngine(engine_url(namespace))
    await engine.open(EngineSetup(installation="i-1", server_url="http://127.0.0.1:1", folder=folder))
    await engine.adopt(owned)
    told = Told(engine)
    try:
        yield engine, told
    finally:
        told.stop()
        await engine.close()


def request(allocation: str, seats: int = 1, **pod: Any) -> AllocationRequest:
    spec = JobSpec.model_validate({"command": ["true"], "world_size": seats, "pod": pod})
    return AllocationRequest(allocation, "j-1", "train", "default", spec, seats, 1, "a-token")


def behaviour(name: str) -> dict[str, Any]:
    return {"secret_variables": {"BEHAVIOUR": {"secret": f"toy-{name}", "key": "behaviour"}}}


async def waits_for(told: Told, allocation: str, cause: WaitingCause) -> Waiting:
    return await told.next(Waiting, lambda one: one.allocation == allocation and one.cause is cause)
