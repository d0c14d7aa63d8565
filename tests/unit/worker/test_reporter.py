"""What one assignment reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.core.facts import CheckpointPartStored, Fact, RankStarted
from headway.core.protocol import AssignmentKey
from headway.worker.outbox import Outbox
from headway.worker.rank_files import RankFiles
from headway.worker.reporter import Reporter
from headway.worker.resource_samples import ResourceSamples
from headway.worker.spool import SpooledStream, stream_folder

KEY = AssignmentKey(job="j-1", attempt=1, worker="w-1")


@pytest.mark.anyio
async def test_a_fact_that_comes_while_a_report_is_written_goes_into_the_next(tmp_path: Path) -> None:
    """Given a report being written in a thread, when a checkpoint's part is stored meanwhile, then it is not lost."""
    facts: list[Fact] = [RankStarted(rank=0, pid=1)]
    stored: list[tuple[Fact, ...]] = []

    class Stream(SpooledStream):
        def append(self, facts_of_report: tuple[Fact, ...], *_: object, **__: object) -> None:  # type: ignore[override]
            stored.append(facts_of_report)
            if len(stored) == 1:
                facts.append(CheckpointPartStored(step=1, rank=0))

    stream = Stream(stream_folder(tmp_path, KEY), KEY)
    files = RankFiles(tmp_path, [0], maximum_log_bytes=1 << 20)
    samples = ResourceSamples(every_seconds=60.0)
    outbox = Outbox(heartbeat_now=lambda: None)
    reporter = Reporter(stream, files, outbox, facts=facts, processes={}, samples=samples, memory_bytes=None)
    for _ in range(2):
        await reporter.report_new()
    assert stored == [(RankStarted(rank=0, pid=1),), (CheckpointPartStored(step=1, rank=0),)]
