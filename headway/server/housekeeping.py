"""Compacts the reports of ended attempts, and deletes streams and artifacts by age and size."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import NamedTuple

from headway.core import transitions
from headway.core.checkpoint import Checkpoint
from headway.core.job import Job
from headway.database.base import Database
from headway.errors import Damaged, HeadwayError, NotFound
from headway.server.clock import Clock
from headway.server.compaction import compact
from headway.server.services.artifacts import Artifacts
from headway.server.services.blocks import Blocks
from headway.server.services.checkpoints import Checkpoints
from headway.server.services.jobs import Jobs
from headway.server.services.snapshots import Snapshots
from headway.settings import Settings

_log = logging.getLogger(__name__)
_SWEEP_SECONDS = 3600.0
_DAY_SECONDS = 86_400.0
_PAGE_JOBS = 200


class Housekeeping:
    """Deleting old streams is logged. Everything else here leaves what users can read unchanged."""

    def __init__(
        self,
        *,
        settings: Settings,
        database: Database,
        jobs: Jobs,
        artifacts: Artifacts,
        snapshots: Snapshots,
        blocks: Blocks,
        checkpoints: Checkpoints,
        clock: Clock,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._clock = clock
        self._settings = settings
        self._artifacts = artifacts
        self._snapshots = snapshots
        self._blocks = blocks
        self._checkpoints = checkpoints
        self._known_checkpoints: dict[str, tuple[tuple[Checkpoint, ...], int]] = {}
        self._ended: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._seen: dict[str, int] = {}

    def job_changed(self, job: Job) -> None:
        """Note what can be tidied up now: an attempt that ended, checkpoints that newer ones replaced."""
        waited_for = min(job.attempt.saving, default=0) if job.attempt else 0
        if (job.checkpoints, waited_for) != self._known_checkpoints.get(job.id, ((), 0)):
            self._known_checkpoints[job.id] = job.checkpoints, waited_for
            self._ended.put_nowait((job.id, 0))
        if job.status.terminal and not job.unsettled:
            self._known_checkpoints.pop(job.id, None)
        attempt = job.attempt
        if attempt is None or attempt.ended_at is None or attempt.number in job.settling:
            return
        if self._seen.get(job.id) != attempt.number:
            self._seen[job.id] = attempt.number
            self._ended.put_nowait((job.id, attempt.number))
        if job.status.terminal and not job.unsettled:
            self._seen.pop(job.id, None)

    async def run(self) -> None:
        """Compact what ends, and sweep once an hour."""
        next_sweep = self._clock.monotonic()
        while True:
            wait_seconds = max(0.0, next_sweep - self._clock.monotonic())
            try:
                async with asyncio.timeout(wait_seconds):
                    job_id, attempt = await self._ended.get()
                await self._tidy(job_id, attempt)
            except TimeoutError:
                next_sweep = self._clock.monotonic() + _SWEEP_SECONDS
                await self.sweep()
            except HeadwayError as error:
                _log.error("Streams were not compacted: %s", error)

    async def _tidy(self, job_id: str, attempt: int) -> None:
        """Tidy up after an attempt's end, or, with attempt 0, after a new checkpoint."""
        if attempt:
            await compact(self._database.streams, job_id, attempt)
        with suppress(NotFound):  # it was deleted meanwhile, with its parts
            job = await self._jobs.by_id(job_id)
            await self._checkpoints.sweep(job)
            await self._artifacts.sweep(job)
            await self._checkpoints.release_unneeded(job)

    async def sweep(self) -> None:
        """Delete files and streams that are too old, then the oldest until the rest fits; and snapshots and blocks that
        nothing names.
        """
        await self._sweep_streams()
        await self._sweep_artifacts()
        await self._snapshots.sweep()
        await self._blocks.sweep()

    async def _sweep_artifacts(self) -> None:
        oldest = self._clock.now() - self._settings.artifact_retention_days * _DAY_SECONDS
        total_bytes = 0
        for job_id, size_bytes in reversed(await self._files_by_age()):
            total_bytes += size_bytes  # newest first: the oldest exceed the limit
            with suppress(NotFound):
                job = await self._jobs.by_id(job_id)
                too_old = job.ended_at is not None and job.ended_at < oldest
                too_much = total_bytes > self._settings.artifact_retention_bytes
                if (too_old or too_much) and not any(one.users for one in job.checkpoints):
                    await self._artifacts.delete_all(job.id)
                    await self._checkpoints.delete_all(job)
                    await self._jobs.update(job.id, lambda job: transitions.forget_artifacts(job, self._clock.now()))
                    total_bytes -= size_bytes
                    _log.info("Artifacts of job %s (%d bytes) were deleted by retention.", job.name, size_bytes)

    async def _files_by_age(self) -> list[tuple[str, int]]:
        """Ended jobs of all projects with files, and their bytes. Jobs that another job starts from are left out."""
        found: list[tuple[str, int]] = []
        after = 0
        while page := await self._database.jobs_by_age(after, _PAGE_JOBS):
            for job in [stored.job for stored in page if not stored.deleted and stored.job.status.terminal]:
                size_bytes = sum(artifact.size_bytes for artifact in job.artifacts if artifact.link_to is None)
                await self._checkpoints.release_dangling(job)
                if any(one.users for one in job.checkpoints):
                    continue  # another job starts from it
                if job.checkpoints:
                    size_bytes += sum(part.size_bytes for part in await self._database.checkpoint_parts(job.id))
                if size_bytes:
                    found.append((job.id, size_bytes))
            after = page[-1].job.sequence
        return found

    async def _sweep_streams(self) -> None:
        sizes = await self._database.streams.sizes()
        total_bytes = sum(sizes.values())
        ended: list[_EndedStreams] = []
        for job_id, size_bytes in sizes.items():
            try:
                job = await self._database.job(job_id)
            except Damaged:
                continue  # deleting the job deletes them
            except NotFound:  # a server died after it had deleted the job
                await self._database.streams.delete(job_id)
                total_bytes -= size_bytes
                continue
            if job.status.terminal and job.ended_at is not None and not job.settling:
                ended.append(_EndedStreams(job.sequence, job.id, job.name, job.ended_at, size_bytes))
        oldest = self._clock.now() - self._settings.stream_retention_days * _DAY_SECONDS
        for one in sorted(ended):
            if one.ended_at < oldest or total_bytes > self._settings.stream_retention_bytes:
                await self._database.streams.delete(one.job)
                total_bytes -= one.size_bytes
                _log.info("Logs and metrics of job %s (%d bytes) were deleted by retention.", one.name, one.size_bytes)


class _EndedStreams(NamedTuple):
    """Streams that retention may delete, by their job's age."""

    sequence: int
    job: str
    name: str
    ended_at: float
    size_bytes: int
