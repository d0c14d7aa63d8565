"""MongoDB, by PyMongo: `mongodb://user:password@host/database?tls=true&tlsCAFile=/path/ca.pem`.

One document changes at a time, so that neither sessions nor transactions are needed, nor partial indexes, update
pipelines or retryable writes: Amazon DocumentDB does as well, with `retryWrites=false` in the URL.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, ConfigurationError, DuplicateKeyError, InvalidURI

from headway.core.attempt import Attempt
from headway.core.checkpoint import CheckpointPart
from headway.core.damaged import DamagedRow, RowKind
from headway.core.installation import Installation, Leadership
from headway.core.job import Event, Job
from headway.core.job_query import JobQuery
from headway.core.problem import Problem, clock_problems
from headway.core.status import JobStatus
from headway.core.worker import Worker, WorkerState
from headway.database.base import READ_PATIENCE_SECONDS, StoredJob, key_reused, name_taken, reading
from headway.database.mongodb_datasets import MongodbDatasets
from headway.database.mongodb_documents import (
    INDEXES,
    Document,
    job_fields,
    job_of,
    part_key,
    where_of,
)
from headway.database.mongodb_streams import MongodbStreams, translated
from headway.errors import NotFound, SettingInvalid, Unavailable
from headway.redaction import redacted

SCHEMA = 2
"""2: datasets have a project, and objects owners."""
_COLLECTIONS = {
    RowKind.JOB: "jobs",
    RowKind.ATTEMPT: "attempts",
    RowKind.CHECKPOINT: "checkpoint_parts",
    RowKind.EVENT: "events",
    RowKind.REPORT: "reports",
    RowKind.WORKER: "workers",
    RowKind.DATASET: "datasets",
}
_Value = TypeVar("_Value")
_Record = TypeVar("_Record", bound=BaseModel)
_REMEMBERED_LOST_WORKERS = 100
_DEFAULTS: dict[str, Any] = {
    "w": "majority",
    "serverSelectionTimeoutMS": 5_000,
    "connectTimeoutMS": 5_000,
    "socketTimeoutMS": 15_000,
    "retryWrites": False,
    "appname": "headway",
}

_OF_USERS: dict[str, Any] = {"maxPoolSize": 8, "waitQueueTimeoutMS": int(READ_PATIENCE_SECONDS * 1000)}
"""The connections for what users read."""


class MongodbDatabase(MongodbStreams, MongodbDatasets):
    """Several servers may share it; who of them leads is a document there."""

    shared = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: AsyncMongoClient[Document] | None = None
        self._readers: AsyncMongoClient[Document] | None = None

    async def open(self) -> None:
        try:
            self._client = AsyncMongoClient(self._url, **_absent(self._url, _DEFAULTS))
            self._readers = AsyncMongoClient(self._url, **{**_absent(self._url, _DEFAULTS), **_OF_USERS})
            async with translated():
                found = await self._collection("installation").find_one({"_id": "schema"})
                if found is not None and found["version"] > SCHEMA:
                    raise SettingInvalid(
                        f"This MongoDB has schema {found['version']}, this version of Headway knows {SCHEMA}. "
                        "Start the newer version, or give another HEADWAY_DATABASE_URL."
                    )
                for name, indexes in INDEXES.items():
                    await self._collection(name).create_indexes(indexes)
                if found is not None and found["version"] < 2:
                    await self._give_projects()
                await self._upsert("installation", "schema", {"version": SCHEMA})
        except SettingInvalid:
            await self.close()
            raise
        except (Unavailable, ConfigurationError, InvalidURI, ValueError, OSError) as error:
            await self.close()
            raise SettingInvalid(f"HEADWAY_DATABASE_URL is {redacted(self._url)}: {error}") from error

    async def close(self) -> None:
        clients, self._client, self._readers = (self._client, self._readers), None, None
        for client in clients:
            if client is not None:
                await client.close()

    async def check(self) -> None:
        async with translated():
            await self._database().command("ping")

    async def problems(self) -> list[Problem]:
        try:
            self._client = self._client or AsyncMongoClient(self._url, **_absent(self._url, _DEFAULTS))
        except (ConfigurationError, InvalidURI, ValueError, OSError) as error:
            raise SettingInvalid(f"{error}") from error
        async with translated():
            hello = await self._database().command("isMaster")  # as "hello", and older servers know it
            found = []
            if not hello.get("ismaster", True):
                found.append(Problem("This MongoDB takes no writes.", "Name the replica set, or its primary."))
            await self._upsert("installation", "doctor", {"version": 1})
            theirs = hello["localTime"].timestamp() if "localTime" in hello else time.time()
        return [*found, *clock_problems("MongoDB's", theirs, time.time())]

    def _database(self) -> AsyncDatabase[Document]:
        client = self._readers if reading.get() else self._client
        if client is None:
            raise Unavailable("MongoDB is not connected.")
        return client.get_default_database("headway")

    def _collection(self, name: str) -> Any:
        return self._database()[name]

    async def _upsert(self, collection: str, key: str, document: Document) -> None:
        try:
            await self._collection(collection).update_one({"_id": key}, {"$set": document}, upsert=True)
        except DuplicateKeyError:  # two inserted it at once; now it is there
            await self._collection(collection).update_one({"_id": key}, {"$set": document})

    async def _insert_missing(self, collection: str, documents: Sequence[Document]) -> None:
        """Insert what is not there yet, by `_id`."""
        if not documents:
            return
        try:
            await self._collection(collection).insert_many(documents, ordered=False)
        except BulkWriteError as error:
            if any(one["code"] != _DUPLICATE for one in error.details["writeErrors"]):
                raise

    async def installation(self, proposed: Installation) -> Installation:
        async with translated():
            await self._insert_missing(
                "installation", [{"_id": "installation", "document": proposed.model_dump_json()}]
            )
            return await self.installation_if_any() or proposed

    async def installation_if_any(self) -> Installation | None:
        async with translated():
            stored = await self._collection("installation").find_one({"_id": "installation"})
            return None if stored is None else Installation.model_validate_json(stored["document"])

    async def leadership(self) -> Leadership:
        async with translated():
            stored = await self._collection("installation").find_one({"_id": "leadership"})
            return Leadership() if stored is None else Leadership.model_validate_json(stored["document"])

    async def put_leadership(self, new: Leadership, known: Leadership) -> bool:
        collection, document = self._collection("installation"), {"document": new.model_dump_json()}
        async with translated():
            if known.term:
                expected = {"_id": "leadership", "document": known.model_dump_json()}
                return bool((await collection.update_one(expected, {"$set": document})).matched_count)
            try:
                await collection.insert_one({"_id": "leadership", **document})
            except DuplicateKeyError:
                return False
            return True

    async def insert_job(self, job: Job) -> Job:
        async with translated():
            if await self.job_with_key(job.project, job.idempotency_key) is not None:
                raise key_reused(job)
            job = job.model_copy(update={"sequence": await self._next_sequence()})
            fixed = {"project": job.project, "name": job.name, "idempotency_key": job.idempotency_key}
            try:
                await self._collection("jobs").insert_one(
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
                counter = await self._collection("installation").find_one_and_update(
                    {"_id": "sequence"}, {"$inc": {"value": 1}}, upsert=True, return_document=ReturnDocument.AFTER
                )
                return int(counter["value"])
            except DuplicateKeyError:  # another writer has just made the counter
                continue

    async def replace_job(self, job: Job) -> bool:
        return await self._compare_and_set(job, job_fields(job))

    async def delete_job(self, job: Job) -> bool:
        # A name that no job can have: documents without one would collide in the unique index.
        tombstone = {**job_fields(job), "name": f"/{job.id}", "deleted": True, "unsettled": False}
        if not await self._compare_and_set(job, tombstone):
            return False
        async with translated():
            for name in ("attempts", "events", "checkpoint_parts", "reports"):
                await self._collection(name).delete_many({"job": job.id})
        return True

    async def _compare_and_set(self, job: Job, fields: Document) -> bool:
        expected = {"_id": job.id, "version": job.version - 1, "deleted": False}
        async with translated():
            matched = (await self._collection("jobs").update_one(expected, {"$set": fields})).matched_count
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
        if len(found) < query.limit:  # those without the figure come last
            older = [{"sequence": {"$lt": sequence}}] if sequence is not None else []
            without = {"$and": [where, {field: None}, *older]}
            found += await self._find_jobs(without, [("sequence", DESCENDING)], query.limit - len(found))
        return found

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
            found = await self._collection("jobs").find_one(where)
        if found is not None and (job := self._job(found)) is None:
            raise self.damage.error(RowKind.JOB, found["_id"])
        return None if found is None else job

    async def _find_readable(
        self, collection: str, where: Document, order: Any, limit: int, read: Callable[[Document], _Value | None]
    ) -> list[_Value]:
        """Up to `limit` documents that can be read, all if it is 0: damaged ones must not make a page look short."""
        found: list[_Value] = []
        async with translated(), self._collection(collection).find(where, sort=order, batch_size=limit) as cursor:
            async for document in cursor:
                one = read(document)
                if one is not None:
                    found.append(one)
                    if len(found) == limit:
                        break
        return found

    def _job(self, document: Document) -> Job | None:
        return self.damage.read(RowKind.JOB, document["_id"], document.get("name", ""), lambda: job_of(document))

    def _stored_job(self, document: Document) -> StoredJob | None:
        job = self._job(document)
        return None if job is None else StoredJob(job, document["deleted"])

    def _reader(self, kind: RowKind, model: type[_Record]) -> Callable[[Document], _Record | None]:
        """Reads the records of a collection."""
        return lambda one: self.damage.read(kind, one["_id"], "", lambda: model.model_validate_json(one["document"]))

    async def delete_row(self, row: DamagedRow) -> None:
        async with translated():
            await self._collection(_COLLECTIONS[row.kind]).delete_one({"_id": row.id})
            if row.kind is RowKind.JOB:
                for name in ("attempts", "events", "checkpoint_parts", "reports"):
                    await self._collection(name).delete_many({"job": row.id})
        self.damage.forget(row.kind, row.id)

    async def put_attempt(self, job_id: str, attempt: Attempt) -> None:
        await self._put_missing("attempts", [(job_id, attempt.number, attempt.model_dump_json())])

    async def attempts(self, job_id: str) -> list[Attempt]:
        read = self._reader(RowKind.ATTEMPT, Attempt)
        return await self._find_readable("attempts", {"job": job_id}, [("number", ASCENDING)], 0, read)

    async def insert_events(self, events: Sequence[tuple[str, Event]]) -> None:
        await self._put_missing("events", [(job, event.number, event.model_dump_json()) for job, event in events])

    async def events(self, job_id: str, after: int, limit: int) -> list[Event]:
        where, read = {"job": job_id, "number": {"$gt": after}}, self._reader(RowKind.EVENT, Event)
        return await self._find_readable("events", where, [("number", ASCENDING)], limit, read)

    async def _put_missing(self, collection: str, numbered: Iterable[tuple[str, int, str]]) -> None:
        documents = [
            {"_id": f"{job}/{number}", "job": job, "number": number, "document": document}
            for job, number, document in numbered
        ]
        async with translated():
            await self._insert_missing(collection, documents)

    async def put_checkpoint_part(self, job_id: str, part: CheckpointPart) -> None:
        place = {"job": job_id, "attempt": part.attempt, "step": part.step, "rank": part.rank}
        async with translated():
            await self._upsert(
                "checkpoint_parts", part_key(job_id, part), {**place, "document": part.model_dump_json()}
            )

    async def checkpoint_parts(self, job_id: str) -> list[CheckpointPart]:
        order = [("attempt", ASCENDING), ("step", ASCENDING), ("rank", ASCENDING)]
        read = self._reader(RowKind.CHECKPOINT, CheckpointPart)
        return await self._find_readable("checkpoint_parts", {"job": job_id}, order, 0, read)

    async def delete_checkpoint_part(self, job_id: str, part: CheckpointPart) -> None:
        async with translated():
            await self._collection("checkpoint_parts").delete_one({"_id": part_key(job_id, part)})

    async def put_worker(self, worker: Worker) -> None:
        fields = {"state": worker.state.value, "registered_at": worker.registered_at}
        async with translated():
            await self._upsert("workers", worker.id, {**fields, "document": worker.model_dump_json()})
        self.damage.forget(RowKind.WORKER, worker.id)

    async def workers(self) -> list[Worker]:
        async with translated():
            workers = self._collection("workers")
            found = [one async for one in workers.find({"state": WorkerState.READY.value})]
            lately = workers.find(
                {"state": WorkerState.LOST.value}, sort=[("registered_at", DESCENDING)], limit=_REMEMBERED_LOST_WORKERS
            )
            found += [one async for one in lately]
        read = self._reader(RowKind.WORKER, Worker)
        return [worker for one in found if (worker := read(one)) is not None]


_DUPLICATE = 11000


def _absent(url: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """The defaults that the URL does not set itself."""
    said = url.partition("?")[2].lower()
    return {name: value for name, value in defaults.items() if f"{name.lower()}=" not in said}
