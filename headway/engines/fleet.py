"""Long-running workers that register themselves: `fleet:`."""

from __future__ import annotations

from headway.core.allocation import FLEET
from headway.core.job import JobSpec
from headway.engines.base import Engine
from headway.errors import InvalidInput


class FleetEngine(Engine):
    """Its jobs are placed on the free fleet, and may wait for workers that are not there yet."""

    name = FLEET

    def __init__(self, url: str) -> None:
        """The URL says nothing more."""

    async def check(self, spec: JobSpec) -> None:
        """Every job may wait for a worker that fits, but the fleet makes no pods."""
        if spec.pod is not None:
            raise InvalidInput(
                "pod: the fleet makes no pods, so nothing would come of it. Leave it out, or add `engine: kubernetes`."
            )
