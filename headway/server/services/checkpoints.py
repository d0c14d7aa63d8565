"""The verbs of checkpoints: store a part (for a rank), read it, use a checkpoint for another job, and sweep."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

from headway.core import checkpoint_transitions
from headway.core.checkpoint import Checkpoint, CheckpointPart
from headway.core.job import Job, Origin
from headway.database.base import Database
from headway.errors import CheckpointCorrupt, Damaged, NotFound
from headway.objects.base import Objects, bounded
from headway.rank_protocol.checkpoint_parts import PartKind
from headway.server.access import Action, Caller
from headway.server.clock import Clock
from headway.server.ids import draw_id
from headway.server.services.jobs import Jobs, check_open
from headway.server.services.stored_file import StoredFile, stored_file

_DANGLING_SECONDS = 3600.0
"""After this time, a user of a checkpoint for which no job exists is forgotten: its submission failed."""


class PartKey(NamedTuple):
    """Names a part: the attempt, step and rank that saved it, and the job `source` if that is another one."""

    attempt: int
    step: int
    rank: int
    source: str | None = None


class SavedPart(NamedTuple):
    """What a rank saved at a step. `replica`: its state is the same as rank 0's. `format`: the format of the bytes."""

    step: int
    rank: int
    kind: PartKind
    replica: bool
    format: int


class Checkpoints:
    """Parts are stored as they come. When all parts are there, the job is changed to have the checkpoint."""

    def __init__(self, database: Database, objects: Objects, jobs: Jobs, clock: Clock, maximum_bytes: int) -> None:
        self._maximum_bytes = maximum_bytes
        self._database = database
        self._objects = objects
        self._jobs = jobs
        self._clock = clock

    async def store(
        self,
        caller: Caller,
        project: str,
        reference: str,
        attempt: int,
        saved: SavedPart,
        chunks: AsyncIterator[bytes],
    ) -> None:
        """Store a rank's part of the current attempt. Raises Conflict for an older or ended one, TooLarge."""
        job = await self._jobs.allowed(caller, Action.ARTIFACTS_WRITE, project, reference, attempt)
        check_open(job, attempt)
        object_id = f"checkpoints/{job.id}/{attempt}/{saved.step}/{draw_id('c-')}"
        subject = f"The part of rank {saved.rank} at step {saved.step}"
        stored = await self._objects.put(object_id, bounded(chunks, self._maximum_bytes, subject))
        part = CheckpointPart(
            attempt=attempt,
            object_id=object_id,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            **saved._asdict(),
        )
        check_open(await self._jobs.by_id(job.id), attempt)  # the attempt may have ended during the upload
        await self._database.put_checkpoint_part(job.id, part)

    async def list_parts(self, caller: Caller, project: str, reference: str, step: int) -> list[CheckpointPart]:
        """The parts of the job's complete checkpoint at a step, by rank. Raises NotFound."""
        job = await self._jobs.allowed(caller, Action.JOBS_READ, project, reference)
        parts = await self.parts(job, _complete(job, step))
        return [part for _, part in sorted(parts.items())]

    async def open_part(self, caller: Caller, project: str, reference: str, step: int, rank: int) -> StoredFile:
        """A rank's part of the job's complete checkpoint at a step. Raises NotFound, CheckpointCorrupt."""
        job = await self._jobs.allowed(caller, Action.CHECKPOINTS_READ, project, reference)
        return await self._file(await self._part(job, PartKey(_complete(job, step).attempt, step, rank)))

    async def open_part_to_restore(
        self, caller: Caller, project: str, reference: str, attempt: int, key: PartKey
    ) -> StoredFile:
        """A part to start from, of an earlier attempt or of the job that this one was forked from.

        Raises NotFound, CheckpointCorrupt when some of its bytes are missing.
        """
        job = await self._jobs.allowed(caller, Action.CHECKPOINTS_READ, project, reference, attempt)
        return await self._file(await self._part(job, key))

    async def parts(self, job: Job, checkpoint: Checkpoint) -> dict[int, CheckpointPart]:
        """The parts of a checkpoint that the job has, by rank."""
        parts = await self._database.checkpoint_parts(checkpoint.job or job.id)
        return {one.rank: one for one in parts if (one.attempt, one.step) == checkpoint.key}

    async def _part(self, job: Job, key: PartKey) -> CheckpointPart:
        """A part of the job's own checkpoint, or of a checkpoint that it has from its origin."""
        source = key.source
        if source is None or any(one.job == source and one.key == key[:2] for one in job.checkpoints):
            for part in await self._database.checkpoint_parts(source or job.id):
                if (part.attempt, part.step, part.rank) == key[:3]:
                    await self._check_size(part)
                    return part
        raise NotFound(f"Job {job.name} has no part of rank {key.rank} at step {key.step} of attempt {key.attempt}.")

    async def _check_size(self, part: CheckpointPart) -> None:
        """Check a part before its first bytes are sent. After that it is too late for an error."""
        try:
            size_bytes = await self._objects.size_bytes(part.object_id)
        except NotFound as error:
            raise CheckpointCorrupt(f"its part of rank {part.rank} is missing in the object store") from error
        if size_bytes != part.size_bytes:
            raise CheckpointCorrupt(f"its part of rank {part.rank} has {size_bytes:,} of {part.size_bytes:,} bytes")

    async def _file(self, part: CheckpointPart) -> StoredFile:
        name = f"step-{part.step}-rank-{part.rank}"
        return await stored_file(self._objects, part.object_id, name, part.size_bytes, part.sha256)

    async def use(
        self, caller: Caller, project: str, reference: str, user: str
    ) -> tuple[Origin, tuple[Checkpoint, ...]]:
        """Keep checkpoint `JOB` or `JOB@STEP` for the job with id `user`, and the earlier ones, in case it is damaged.

        Returns the checkpoints, oldest first. Raises NotFound.
        """
        name, _, step = reference.partition("@")
        source = await self._jobs.allowed(caller, Action.CHECKPOINTS_READ, project, name)
        chosen = _complete(source, int(step) if step else None)
        own = [one for one in source.checkpoints if one.job is None]
        keys = {one.key for one in own[: own.index(chosen) + 1]}
        now = self._clock.now()
        source = await self._jobs.update(
            source.id, lambda job: checkpoint_transitions.use_checkpoints(job, user, keys, now)
        )
        # A sweep may have been faster: only the checkpoints that the job still has count.
        kept = tuple(
            one.model_copy(update={"job": source.id, "users": {}}) for one in source.checkpoints if user in one.users
        )
        if not kept or kept[-1].key != chosen.key:
            await self.release(source.id, user)
            raise NotFound(f"The checkpoint of step {chosen.step} of job {source.name} was just deleted.")
        return Origin(job=source.id, name=source.name, attempt=chosen.attempt, step=chosen.step), kept

    async def release(self, source: str, user: str) -> None:
        """The job with id `user` no longer needs the source's checkpoints, or was never created."""
        with suppress(NotFound):
            await self._jobs.update(source, lambda job: checkpoint_transitions.release_checkpoints(job, user))

    async def release_unneeded(self, job: Job) -> None:
        """Release the checkpoints of the job's origin, once the job has ended or has only checkpoints of its own."""
        if job.origin is not None and (job.status.terminal or all(one.job is None for one in job.checkpoints)):
            await self.release(job.origin.job, job.id)

    async def release_dangling(self, job: Job) -> None:
        """Forget users of the job's checkpoints that have ended, were deleted, or were never created."""
        users = {user: since for one in job.checkpoints for user, since in one.users.items()}
        for user, since in users.items():
            try:
                await self.release_unneeded(await self._jobs.by_id(user))
            except Damaged:
                continue  # a restored backup may have it
            except NotFound:
                if self._clock.now() - since > _DANGLING_SECONDS:
                    await self.release(job.id, user)

    async def sweep(self, job: Job) -> None:
        """Delete the parts of checkpoints that the job dropped, and of those that were never completed."""
        kept = {one.key for one in job.checkpoints if one.job is None}
        newest = max(kept, default=(0, 0))
        attempt = job.attempt if job.attempt is not None and job.attempt.ended_at is None else None
        given_up = min(attempt.saving, default=0) if attempt else 0  # parts of earlier steps are no longer expected
        left: set[str] = set()
        for part in await self._database.checkpoint_parts(job.id):
            key = (part.attempt, part.step)
            live = attempt is not None and part.attempt == attempt.number
            being_saved = live and key > newest and part.step >= given_up
            if key in kept or being_saved:
                left.add(part.object_id)
                continue
            await self._objects.delete(part.object_id)
            await self._database.delete_checkpoint_part(job.id, part)
        if attempt is None:
            await self._sweep_strays(job, left)

    async def _sweep_strays(self, job: Job, left: set[str]) -> None:
        """Delete objects that no row names: a server died between the two writes, or the part was stored again."""
        async for object_id in self._objects.list(f"checkpoints/{job.id}/"):
            ended = int(object_id.split("/")[2]) <= job.attempt_number
            if ended and object_id not in left:
                await self._objects.delete(object_id)

    async def delete_all(self, job: Job) -> None:
        """Delete every part of the job."""
        for part in await self._database.checkpoint_parts(job.id):
            await self._database.delete_checkpoint_part(job.id, part)
        await self.delete_objects(job.id)

    async def delete_objects(self, job_id: str) -> None:
        """Delete the bytes of parts whose rows are deleted or are about to be."""
        async for object_id in self._objects.list(f"checkpoints/{job_id}/"):
            await self._objects.delete(object_id)


def _complete(job: Job, step: int | None) -> Checkpoint:
    """The job's own complete checkpoint at a step, by default the newest. Raises NotFound, which lists the steps."""
    own = [one for one in job.checkpoints if one.job is None]
    for one in reversed(own):
        if step is None or one.step == step:
            return one
    steps = ", ".join(str(one.step) for one in own) or "none"
    wanted = "complete checkpoint" if step is None else f"complete checkpoint of step {step}"
    raise NotFound(f"Job {job.name} has no {wanted}. Its steps: {steps}.")
