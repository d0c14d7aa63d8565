"""What every engine promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.backend_registry import backend
from headway.core.job import JobSpec
from headway.engines.base import AllocatingEngine, EngineSetup
from tests.conformance.backends import run, schemes

pytestmark = pytest.mark.anyio


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
