"""Long-running workers that register themselves: `fleet:`."""

from __future__ import annotations

from headway.core.allocation import FLEET
from headway.core.job import JobSpec
from headway.engines.base import Engine
from headway.errors import InvalidInput


class FleetEngine(Engine):
    """Places jobs on registered workers. Jobs may wait for workers that have not registered yet."""

    name = FLEET

    def __init__(self, url: str) -> None:
        """The URL has no options."""

    async def check(self, spec: JobSpec) -> None:
        """Every job may wait for a worker that fits. Jobs with `pod` are refused, because the fleet creates no pods."""
        if spec.pod is not None:
            raise InvalidInput("pod: the fleet creates no pods. Leave it out, or add `engine: kubernetes`.")
