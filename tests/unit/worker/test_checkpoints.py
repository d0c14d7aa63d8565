"""Sending parts of checkpoints."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from headway.core.facts import CheckpointNotSaved
from headway.core.protocol import Claimed
from headway.rank_protocol.paths import saved_part
from headway.worker.checkpoints import CheckpointSender, SavedPart
from headway.worker.fact_queue import FactQueue
from tests.unit.worker.fake_attempt import claimed

pytestmark = pytest.mark.anyio


# Checkpoints and environments


async def test_a_part_that_is_not_a_file_does_not_block_the_others(tmp_path: Path) -> None:
    class Connection:
        async def store_checkpoint_part(self, _claimed: Claimed, step: int, rank: int, path: Path, **_: Any) -> None:
            assert path.is_file()
            if step == 3:
                raise RuntimeError("a defect")

    facts = FactQueue()
    sender = CheckpointSender(claimed(), tmp_path, Connection(), facts)  # type: ignore[arg-type]
    for step in range(1, 5):
        path = saved_part(tmp_path, step, 0)
        path.parent.mkdir(parents=True)
        if step == 1:
            path.mkdir()
        elif step == 2:
            path.symlink_to(tmp_path / "nowhere")
        else:
            path.write_text("state")
        sender.add(SavedPart(0, step, 0.0))
    sending = asyncio.create_task(sender.run())
    async with asyncio.timeout(10):
        await sender.wait()
    sending.cancel()
    assert [fact.step for fact in facts.waiting() if isinstance(fact, CheckpointNotSaved)] == [1, 2, 3]
    assert len(facts) == 4
