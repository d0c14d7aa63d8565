"""Prepares an attempt before its ranks start: its dataset, working directory, checkpoint and environment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from headway.core.job import JobSpec
from headway.core.protocol import Claimed
from headway.rank_protocol.checkpoint_parts import PartKind
from headway.rank_protocol.paths import SETUP_RANK, checkpoint_files_folder, log_file, output_folder, restore_folder
from headway.worker.checkpoints import fetch_checkpoint
from headway.worker.connection import Connection
from headway.worker.dataset_cache import DatasetCache
from headway.worker.editables import Overlay
from headway.worker.environments import BuildSite, Environments
from headway.worker.event_files import is_event_file
from headway.worker.forkserver import Forkserver
from headway.worker.read_watch import LeftFilesWatch, ReadWatch
from headway.worker.snapshot_cache import SnapshotCache
from headway.worker.work_folders import ChangedFile, WorkFolders


@dataclass
class Prepared:
    """A prepared attempt. The ranks run in `work` and write files to `output`; `data` is their dataset's folder.

    `checkpoint_files`: the folder for programs' checkpoint files, with those that they start from. `fresh`: the working
    directory is unchanged; otherwise earlier attempts left `changed_count` new or changed files in it. `unstored`: it
    has files that are stored nowhere else. `restored` watches whether ranks read the checkpoint files that they start
    from, `left` whether they read files of earlier attempts. `overlay`: the attempt's own environment on top of the
    forkserver's.
    """

    work: Path
    output: Path
    checkpoint_files: Path
    data: Path | None
    forkserver: Forkserver
    overlay: Overlay | None
    fresh: bool
    restored: ReadWatch | None
    left: LeftFilesWatch
    changed_count: int = 0
    unstored: bool = False


class Preparation:
    """Shared by all attempts of a worker."""

    def __init__(
        self,
        connection: Connection,
        datasets: DatasetCache,
        snapshots: SnapshotCache,
        environments: Environments,
        work_folders: WorkFolders,
    ) -> None:
        self._connection = connection
        self._datasets = datasets
        self._snapshots = snapshots
        self._environments = environments
        self.work_folders = work_folders

    async def prepare(self, claimed: Claimed, folder: Path) -> Prepared:
        """Prepare the attempt in `folder`. The output of a build goes to its setup.log.

        Raises EnvironmentFailed, CheckpointCorrupt, Corrupt, Unavailable, OSError. The caller has to `release` the
        result.
        """
        fresh = await self._open_work_folder(claimed)
        try:
            return await self._prepare_in(claimed, folder, fresh=fresh)
        except BaseException:
            self.work_folders.leave(claimed.job)
            raise

    async def _open_work_folder(self, claimed: Claimed) -> bool:
        return await self.work_folders.open(claimed.job, partial(self._unpack, claimed.spec))

    async def _unpack(self, spec: JobSpec, folder: Path) -> None:
        """Unpack the snapshot or script into a new folder."""
        if spec.snapshot is not None:
            await self._snapshots.unpack(spec.snapshot, folder)
        else:
            folder.mkdir(parents=True)
        if spec.source is not None and spec.script is not None:
            script = folder / spec.script
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text(spec.source, encoding="utf-8", newline="")

    async def _prepare_in(self, claimed: Claimed, folder: Path, *, fresh: bool) -> Prepared:
        work, output = self.work_folders.path(claimed.job), output_folder(folder)
        output.mkdir(parents=True, exist_ok=True)
        checkpoint_files = checkpoint_files_folder(folder)
        checkpoint_files.mkdir(exist_ok=True)
        changed = [] if fresh else await asyncio.to_thread(self.work_folders.changed, claimed.job)
        await fetch_checkpoint(claimed, restore_folder(folder), checkpoint_files, self._connection)
        data = await self._datasets.acquire(claimed.dataset) if claimed.dataset is not None else None
        try:
            with log_file(folder, SETUP_RANK).open("a", encoding="utf-8", buffering=1) as log:
                unpack = partial(self._unpack, claimed.spec) if changed else None
                site = BuildSite(work, folder / "environment", lambda line: print(line, file=log), unpack)
                forkserver, overlay = await self._environments.acquire(claimed.spec.environment, site)
        except BaseException:
            self._release_data(claimed, data)
            raise
        left = [file for file in changed if not file.cache]
        restored = None
        if claimed.checkpoint is not None and claimed.checkpoint.kind is PartKind.FILES:
            restored = ReadWatch(checkpoint_files)
        return Prepared(
            work, output, checkpoint_files, data, forkserver, overlay, fresh, restored, _watch(left),
            changed_count=len(left), unstored=bool(left),
        )  # fmt: skip

    async def release(self, claimed: Claimed, prepared: Prepared) -> None:
        """Release the resources of an attempt that has ended."""
        if prepared.restored is not None:
            prepared.restored.close()
        prepared.left.close()
        self._environments.release(prepared.forkserver)
        self._release_data(claimed, prepared.data)
        await self.work_folders.close(claimed.job, unstored=prepared.unstored)

    def _release_data(self, claimed: Claimed, data: Path | None) -> None:
        if claimed.dataset is not None and data is not None:
            self._datasets.release(claimed.dataset)


def _watch(left: list[ChangedFile]) -> LeftFilesWatch:
    """Watch those of these files that only ranks read. The worker itself reads event files."""
    ours = [file for file in left if not is_event_file(file.path) and not file.path.is_symlink()]
    return LeftFilesWatch({file.path: file.modified_ns / 1e9 for file in ours})
