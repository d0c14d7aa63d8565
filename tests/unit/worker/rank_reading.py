"""Reads all files of ranks in the way their worker does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headway.worker.harvest import Harvest
from headway.worker.rank_files import RankFiles


def read_all(files: RankFiles, offsets: dict[str, list[int]] | None = None) -> Iterator[Harvest]:
    """Harvests until nothing is left, as in a reporter."""
    offsets = offsets or {}
    for _ in range(100):
        harvest = files.harvest(offsets, final=True)
        yield harvest
        if not harvest.more:
            return
        assert harvest.offsets != offsets, "it spins"
        offsets = harvest.offsets
    raise AssertionError("it never ends")


def said(harvests: list[Harvest]) -> list[str]:
    return [line.text for harvest in harvests for line in harvest.lines]


def files_of(folder: Path, **more: Any) -> RankFiles:
    return RankFiles(folder, [0], maximum_log_bytes=1 << 20, **more)
