"""The verbs of artifacts: store (by a rank), open (by a user)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from headway.core.artifact import Artifact, leaves_folder
from headway.core.job import Job
from headway.errors import InvalidInput, NotFound
from headway.objects.base import Objects, bounded
from headway.server.access import Action, Caller
from headway.server.ids import draw_id
from headway.server.services.jobs import Jobs, check_open
from headway.server.services.stored_file import StoredFile, stored_file


class Artifacts:
    """The bytes go to the object store. The artifact exists once the worker reports it as a fact."""

    def __init__(self, objects: Objects, jobs: Jobs, maximum_bytes: int) -> None:
        self._objects = objects
        self._jobs = jobs
        self._maximum_bytes = maximum_bytes

    async def store(
        self, caller: Caller, project: str, reference: str, attempt: int, name: str, chunks: AsyncIterator[bytes]
    ) -> Artifact:
        """Store a file of the current attempt. Raises InvalidInput, Conflict for an older or ended one, TooLarge."""
        job = await self._jobs.allowed(caller, Action.ARTIFACTS_WRITE, project, reference, attempt)
        if leaves_folder(name):
            raise InvalidInput(f"The name of artifact {name} has a . or .. as a part; leave it out.")
        check_open(job, attempt)
        object_id = f"artifacts/{job.id}/{attempt}/{draw_id('a-')}"
        stored = await self._objects.put(object_id, bounded(chunks, self._maximum_bytes, f"Artifact {name}"))
        return Artifact(
            name=name, object_id=object_id, size_bytes=stored.size_bytes, sha256=stored.sha256, attempt=attempt
        )

    async def open(self, caller: Caller, project: str, reference: str, name: str) -> StoredFile:
        """The job's artifact of that name. Raises NotFound, which lists the existing names."""
        job = await self._jobs.allowed(caller, Action.JOBS_READ, project, reference)
        for artifact in job.artifacts:
            if artifact.name == name:
                file_name = name.rpartition("/")[2]
                return await stored_file(
                    self._objects, artifact.object_id, file_name, artifact.size_bytes, artifact.sha256
                )
        if job.artifacts_deleted:
            raise NotFound(f"Job {job.name} has no artifact {name}: its files were deleted by retention.")
        names = ", ".join(artifact.name for artifact in job.artifacts) or "none yet"
        raise NotFound(f"Job {job.name} has no artifact {name}. It has: {names}.")

    async def sweep(self, job: Job) -> None:
        """Delete the files of ended attempts that a later attempt has stored again under the same name."""
        if job.attempt is None or job.attempt.number == 1 or job.attempt.ended_at is None:
            return
        named = {artifact.object_id for artifact in job.artifacts}
        async for object_id in self._objects.list(f"artifacts/{job.id}/"):
            if object_id not in named and int(object_id.split("/")[2]) <= job.attempt.number:
                await self._objects.delete(object_id)

    async def delete_all(self, job_id: str) -> None:
        """Delete every file that any attempt of the job stored."""
        async for object_id in self._objects.list(f"artifacts/{job_id}/"):
            await self._objects.delete(object_id)
