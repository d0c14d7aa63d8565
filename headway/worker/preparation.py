"""What has to be there before an attempt's ranks start: its dataset, its working directory, its environment."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

from headway.core.protocol import Claimed
from headway.worker.checkpoints import fetch_checkpoint
from headway.worker.connection import Connection
from headway.worker.dataset_cache import DatasetCache
from headway.worker.environments import Environments
from headway.worker.forkserver import Forkserver
from headway.worker.snapshot_cache import SnapshotCache


@dataclass
class Prepared:
    """What is there. `work` is where the ranks run, `output` where they leave files, `data` their dataset's folder.

    `checkpoint_files`: where programs write checkpoint files, with those that they start from.
    """

    work: Path
    output: Path
    checkpoint_files: Path
    data: Path | None
    forkserver: Forkserver


class Preparation:
    """Shared by all attempts of a worker."""

    def __init__(
        self, connection: Connection, datasets: DatasetCache, snapshots: SnapshotCache, environments: Environments
    ) -> None:
        self._connection = connection
        self._datasets = datasets
        self._snapshots = snapshots
        self._environments = environments

    async def prepare(self, claimed: Claimed, folder: Path) -> Prepared:
        """Make ready what the attempt needs, in `folder`. What a build prints goes to its setup.log.

        Raises EnvironmentFailed, CheckpointCorrupt, Corrupt, Unavailable, OSError. Whoever gets the answer has to
        `release` it.
        """
        work, output = folder / "work", folder / "output"
        await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
        output.mkdir(parents=True, exist_ok=True)
        spec = claimed.spec
        if spec.snapshot is not None:
            await self._snapshots.unpack(spec.snapshot, work)
        else:
            work.mkdir()
        if spec.source is not None and spec.script is not None:
            script = work / spec.script
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text(spec.source, encoding="utf-8", newline="")
        checkpoint_files = folder / "checkpoint-files"
        checkpoint_files.mkdir(exist_ok=True)
        await fetch_checkpoint(claimed, folder / "restore", checkpoint_files, self._connection)
        data = await self._datasets.acquire(claimed.dataset) if claimed.dataset is not None else None
        try:
            with setup_log(folder).open("a", encoding="utf-8", buffering=1) as log:
                forkserver = await self._environments.acquire(
                    spec.environment, work, lambda line: print(line, file=log)
                )
        except BaseException:
            self._release_data(claimed, data)
            raise
        return Prepared(work, output, checkpoint_files, data, forkserver)

    def release(self, claimed: Claimed, prepared: Prepared) -> None:
        """The attempt has ended."""
        self._environments.release(prepared.forkserver)
        self._release_data(claimed, prepared.data)

    def _release_data(self, claimed: Claimed, data: Path | None) -> None:
        if claimed.dataset is not None and data is not None:
            self._datasets.release(claimed.dataset)


def setup_log(folder: Path) -> Path:
    """What preparing an attempt printed."""
    return folder / "setup.log"
