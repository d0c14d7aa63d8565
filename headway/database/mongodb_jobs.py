"""Jobs in MongoDB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from headway.core.damaged import RowKind
from headway.core.job import Job
from headway.core.job_query import JobQuery
from headway.core.status import JobStatus, shown_status
from headway.database.base import StoredJob, key_reused, name_taken
from headway.database.mongodb_collections import MongodbCollections
from headway.database.mongodb_connections import translated
from headway.database.mongodb_documents import Document, job_fields, job_of, key_of, where_of
from headway.errors import NotFound

OF_A_JOB = ("attempts", "events", "checkpoint_parts")
"""The collections whose documents are deleted with their job."""


_Value = TypeVar("_Value")


class MongodbJobs(MongodbCollections):
    """Implements the contract for jobs."""

    async def insert_job(self, job: Job) -> Job:
        async with translated():
            if await self.job_with_key(job.project, job.idempotency_key) is not None:
                raise key_reused(job)
            job = job.model_copy(update={"sequence": await self._next_sequence()})
            fixed = {"project": job.project, "name": job.name, "idempotency_key": job.idempotency_key}
            try:
                await (await self._connections.changing("jobs")).insert_one(
                    {"_id": job.id, "sequence": job.sequence, "priority": job.spec.priority, "deleted": False}
                    | fixed
                    | job_fields(job)
                )
            except DuplicateKeyError as error:
                if await self.job_with_key(job.project, job.idempotency_key) is not None:
                    raise key_reused(job) from error  # another writer was first
                raise name_taken(job) from error
            return job

    async def _next_sequence(self) -> int:
        while True:
            try:
                counter = await self._connections.collection("installation").find_one_and_update(
                    {"_id": "sequence"}, {"$inc": {"value": 1}}, upsert=True, return_document=ReturnDocument.AFTER
                )
                return int(counter["value"])
            except DuplicateKeyError:  # another writer has just created the counter
                continue

    async def replace_job(self, job: Job) -> bool:
        return await self._compare_and_set(job, job_fields(job))

    async def delete_job(self, job: Job) -> bool:
        # A name that no job can have: documents without one would collide in the unique index.
        tombstone = {**job_fields(job), "name": f"/{job.id}", "deleted": True, "unsettled": False}
        if not await self._compare_and_set(job, tombstone):
            return False
        async with translated():
            for name in OF_A_JOB:
                await self._connections.collection(name).delete_many({"job": job.id})
        return True

    async def _compare_and_set(self, job: Job, fields: Document) -> bool:
        expected = {"_id": job.id, "version": job.version - 1, "deleted": False}
        async with translated():
            jobs = await self._connections.changing("jobs")
            matched = (await jobs.update_one(expected, {"$set": fields})).matched_count
        self.damage.forget(RowKind.JOB, job.id)
        return bool(matched)

    async def job(self, job_id: str) -> Job:
        job = await self._find_job({"_id": job_id, "deleted": False})
        if job is None:
            raise NotFound(f"Job {job_id} does not exist. `headway jobs` lists those that do.")
        return job

    async def job_named(self, project: str, name: str) -> Job | None:
        return await self._find_job({"project": project, "name": name, "deleted": False})

    async def job_with_key(self, project: str, idempotency_key: str) -> Job | None:
        return await self._find_job({"project": project, "idempotency_key": idempotency_key})

    async def jobs(self, query: JobQuery) -> list[Job]:
        where, field = where_of(query), query.sort.value
        order = [(field, DESCENDING if query.descending else ASCENDING), ("sequence", DESCENDING)]
        value, sequence = query.after or (None, None)
        found: list[Job] = []
        if query.after is None or value is not None:
            behind: list[Document] = []
            if value is not None:
                further = {field: {"$lt" if query.descending else "$gt": value}}
                behind = [{"$or": [further, {field: value, "sequence": {"$lt": sequence}}]}]
            found = await self._find_jobs({"$and": [where, {field: {"$ne": None}}, *behind]}, order, query.limit)
            sequence = None
        if len(found) < query.limit:  # jobs without the figure come last
            older = [{"sequence": {"$lt": sequence}}] if sequence is not None else []
            without = {"$and": [where, {field: None}, *older]}
            found += await self._find_jobs(without, [("sequence", DESCENDING)], query.limit - len(found))
        return found

    async def job_counts(self, project: str) -> dict[str, int]:
        kind = {"status": "$status", "hold": "$hold"}
        group = [{"$match": {"project": project, "deleted": False}}, {"$group": {"_id": kind, "count": {"$sum": 1}}}]
        counts: dict[str, int] = {}
        async with translated():
            async for one in await self._connections.collection("jobs").aggregate(group):
                shown = shown_status(one["_id"]["status"], hold=one["_id"]["hold"])
                counts[shown] = counts.get(shown, 0) + int(one["count"])
        return counts

    async def jobs_by_age(self, after: int, limit: int) -> list[StoredJob]:
        return await self._find_readable(
            "jobs", {"sequence": {"$gt": after}}, [("sequence", ASCENDING)], limit, self._stored_job
        )

    async def queued_jobs(self, after: tuple[int, int] | None, limit: int) -> list[Job]:
        where: list[Document] = [{"deleted": False, "status": JobStatus.QUEUED.value, "hold": False}]
        if after is not None:
            priority, sequence = after
            younger = {"priority": priority, "sequence": {"$gt": sequence}}
            where.append({"$or": [{"priority": {"$lt": priority}}, younger]})
        return await self._find_jobs({"$and": where}, [("priority", DESCENDING), ("sequence", ASCENDING)], limit)

    async def unsettled_jobs(self) -> list[Job]:
        return await self._find_jobs({"deleted": False, "unsettled": True})

    async def _find_jobs(self, where: Document, order: Any = None, limit: int = 0) -> list[Job]:
        return await self._find_readable("jobs", where, order, limit, self._job)

    async def _find_job(self, where: Document) -> Job | None:
        async with translated():
            found = await self._connections.collection("jobs").find_one(where)
        if found is not None and (job := self._job(found)) is None:
            raise self.damage.error(RowKind.JOB, key_of(found), str(found.get("project")))
        return None if found is None else job

    def _job(self, document: Document) -> Job | None:
        return self._read_job(document, lambda: job_of(document))

    def _stored_job(self, document: Document) -> StoredJob | None:
        return self._read_job(document, lambda: StoredJob(job_of(document), document["deleted"]))

    def _read_job(self, document: Document, parse: Callable[[], _Value]) -> _Value | None:
        name, project = document.get("name", ""), str(document.get("project"))
        return self.damage.read(RowKind.JOB, key_of(document), name, parse, project)
