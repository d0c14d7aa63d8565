"""The verbs of checkpoints: store a part (for a rank), read it, and sweep what is not a checkpoint's any more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from headway.core.checkpoint import Checkpoint, CheckpointPart
from headway.core.job import Job
from headway.database.base import Database
from headway.errors import Conflict, NotFound
from headway.objects.base import Objects
from headway.server.services.jobs import Jobs, draw_id


class Checkpoints:
    """Parts are stored as they come; that all of one are there is a change of the job, which makes it a checkpoint."""

    def __init__(self, database: Database, objects: Objects, jobs: Jobs) -> None:
        self._database = database
        self._objects = objects
        self._jobs = jobs

    async def store(self, job_id: str, attempt: int, step: int, rank: int, chunks: AsyncIterator[bytes]) -> None:
        """Store a rank's part of the current attempt. Raises Conflict for an older or ended one."""
        job = await self._jobs.find(job_id)
        if job.attempt is None or job.attempt.number != attempt or job.attempt.ended_at is not None:
            raise Conflict(f"Attempt {attempt} of job {job.name} is not the current one, or has ended.")
        object_id = f"checkpoints/{job_id}/{attempt}/{step}/{draw_id('c-')}"
        stored = await self._objects.put(object_id, chunks)
        part = CheckpointPart(
            attempt=attempt,
            step=step,
            rank=rank,
            object_id=object_id,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
        )
        await self._database.put_checkpoint_part(job_id, part)

    async def parts(self, job: Job, checkpoint: Checkpoint) -> dict[int, CheckpointPart]:
        """The parts of a checkpoint, by rank."""
        parts = await self._database.checkpoint_parts(job.id)
        return {one.rank: one for one in parts if (one.attempt, one.step) == (checkpoint.attempt, checkpoint.step)}

    async def read(self, job: Job, attempt: int, step: int, rank: int) -> tuple[CheckpointPart, AsyncIterator[bytes]]:
        """A part and its bytes. Raises NotFound."""
        for part in await self._database.checkpoint_parts(job.id):
            if (part.attempt, part.step, part.rank) == (attempt, step, rank):
                return part, self._objects.get(part.object_id)
        raise NotFound(f"Job {job.name} has no part of rank {rank} at step {step} of attempt {attempt}.")

    async def sweep(self, job: Job) -> None:
        """Delete the parts of checkpoints that the job dropped, and of those that were never completed."""
        kept = {(one.attempt, one.step) for one in job.checkpoints}
        newest = max(kept, default=(0, 0))
        attempt = job.attempt if job.attempt is not None and job.attempt.ended_at is None else None
        given_up = min(attempt.saving, default=0) if attempt else 0  # steps before that are not waited for any more
        for part in await self._database.checkpoint_parts(job.id):
            key = (part.attempt, part.step)
            live = attempt is not None and part.attempt == attempt.number
            being_saved = live and key > newest and part.step >= given_up
            if key not in kept and not being_saved:
                await self._objects.delete(part.object_id)
                await self._database.delete_checkpoint_part(job.id, part)

    async def delete_all(self, job: Job) -> None:
        """Delete every part of the job."""
        parts = await self._database.checkpoint_parts(job.id)
        await self.delete_objects(parts)
        for part in parts:
            await self._database.delete_checkpoint_part(job.id, part)

    async def delete_objects(self, parts: Iterable[CheckpointPart]) -> None:
        """Delete the bytes of parts whose rows are gone, or will be."""
        for part in parts:
            await self._objects.delete(part.object_id)
