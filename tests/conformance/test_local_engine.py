"""What the local engine refuses. The suite of all engines has the rest."""

from __future__ import annotations

import pytest

from headway.core.job import JobSpec
from headway.engines.local import LocalEngine
from headway.errors import InvalidInput, SettingInvalid

pytestmark = pytest.mark.anyio


async def test_what_does_not_fit_the_machine_or_the_engine_is_refused() -> None:
    engine = LocalEngine("local:?slots=3")
    spec = JobSpec(trainer="mlp", dataset="digits", world_size=2)
    await engine.check(spec)
    with pytest.raises(InvalidInput, match="world_size needs 4 slots"):
        await engine.check(spec.model_copy(update={"world_size": 4}))
    for url in ("local:?slots=0", "local:?slots=x", "local:?cores=4"):
        with pytest.raises(SettingInvalid, match="HEADWAY_ENGINE_URLS"):
            LocalEngine(url)
