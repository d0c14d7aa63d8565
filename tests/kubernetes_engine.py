"""The Kubernetes engine in a namespace, and requests to it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from headway.core.allocation import Waiting, WaitingCause
from headway.core.job import JobSpec
from headway.engines.base import AllocationRequest
from tests.cluster import Namespace, engine_url
from tests.engines import Told, leading


def running(
    namespace: Namespace, folder: Path, *, owned: tuple[AllocationRequest, ...] = ()
) -> AbstractAsyncContextManager[tuple[Any, Told]]:
    """The engine as the leading server has it, and what it observes."""
    return leading(engine_url(namespace), folder, owned=owned)


def request(allocation: str, seats: int = 1, **pod: Any) -> AllocationRequest:
    spec = JobSpec.model_validate({"command": ["true"], "world_size": seats, "pod": pod})
    return AllocationRequest(allocation, "j-1", "train", "default", spec, seats, 1, "a-token")


def behaviour(name: str) -> dict[str, Any]:
    return {"secret_variables": {"BEHAVIOUR": {"secret": f"toy-{name}", "key": "behaviour"}}}


async def waits_for(told: Told, allocation: str, cause: WaitingCause) -> Waiting:
    return await told.next(Waiting, lambda one: one.allocation == allocation and one.cause is cause)
