"""The benchmark of the scheduler runs, and places jobs in order."""

from __future__ import annotations

import pytest

from benchmarks.scheduler import simulate

pytestmark = pytest.mark.anyio


async def test_the_simulated_scheduler_places_all_jobs_in_their_order() -> None:
    """Given a fleet and a queue, then all jobs run, and none overtakes one that could run as well."""
    found = await simulate(workers=140, jobs=60, seed=1)
    assert (found["jobs"], found["overtaken"]) == (60, 0)
