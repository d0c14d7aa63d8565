"""Reports in MongoDB: the streams of jobs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pymongo import ASCENDING
from pymongo.errors import ConfigurationError, DuplicateKeyError, PyMongoError, WaitQueueTimeoutError

from headway.core.damaged import RowKind
from headway.database.base import OVERLOADED, Database, ReportIndex, StreamSize
from headway.database.mongodb_documents import Document, facts_of, report_document, report_of
from headway.errors import Overloaded, Unavailable
from headway.formats.reports import Report


class MongodbStreams(Database):
    """The part of the contract that is about reports."""

    @abstractmethod
    def _collection(self, name: str) -> Any:
        """A collection, whose writes the majority of the replica set has."""

    @abstractmethod
    async def _insert_missing(self, collection: str, documents: Sequence[Document]) -> None:
        """Insert those that are not there yet."""

    async def insert_reports(self, reports: Sequence[Report]) -> None:
        async with translated():
            await self._insert_missing("reports", [report_document(report) for report in reports])

    async def report_index(self, job_id: str, attempt: int) -> list[ReportIndex]:
        fields = {"worker": 1, "number": 1, "through": 1, "last": 1, "has_facts": 1}
        return [
            ReportIndex(one["worker"], one["number"], one["through"], one["last"], one["has_facts"])
            async for one in self._uncovered({"job": job_id, "attempt": attempt}, fields)
        ]

    async def reports(
        self, job_id: str, attempt: int, worker: str, after: int, through: int, limit: int
    ) -> list[Report]:
        where = {"job": job_id, "attempt": attempt, "worker": worker}
        where |= {"through": {"$gt": after}, "number": {"$lte": through}}
        found: list[Report] = []
        async for one in self._uncovered(where):
            facts = self.damage.read(RowKind.REPORT, one["_id"], "", lambda one=one: facts_of(one)) or ()  # type: ignore[misc]
            found.append(report_of(one, facts))
            if len(found) == limit:
                break
        return found

    async def metrics_sections(self, job_id: str, attempt: int) -> list[bytes]:
        fields = {"worker": 1, "number": 1, "through": 1, "metrics": 1}
        found = self._uncovered({"job": job_id, "attempt": attempt}, fields)
        return [bytes(one["metrics"]) async for one in found if one["metrics"]]

    async def _uncovered(self, where: Document, fields: Document | None = None) -> AsyncIterator[Document]:
        """Reports by worker and number, without those that a chunk before them covers: they are about to be deleted."""
        order = [("worker", ASCENDING), ("number", ASCENDING)]
        worker, through = "", 0
        async with translated():
            async for one in self._collection("reports").find(where, fields, sort=order):
                if one["worker"] == worker and one["number"] <= through:
                    continue
                worker, through = one["worker"], one["through"]
                yield one

    async def compact(self, chunk: Report) -> None:
        # The chunk takes the place of the first that it covers; from then on readers pass over the others.
        document = report_document(chunk)
        covered = {"job": chunk.job, "attempt": chunk.attempt, "worker": chunk.worker}
        covered |= {"number": {"$gt": chunk.number}, "through": {"$lte": chunk.through}}
        async with translated():
            await self._collection("reports").replace_one({"_id": document["_id"]}, document, upsert=True)
            await self._collection("reports").delete_many(covered)

    async def stream_sizes(self) -> list[StreamSize]:
        async with translated():
            grouped = await self._collection("reports").aggregate(
                [{"$group": {"_id": "$job", "size_bytes": {"$sum": "$size_bytes"}}}]
            )
            sizes = {one["_id"]: int(one["size_bytes"]) async for one in grouped}
            jobs = self._collection("jobs").find({}, {"_id": 1}, sort=[("sequence", ASCENDING)])
            return [StreamSize(one["_id"], sizes[one["_id"]]) async for one in jobs if one["_id"] in sizes]

    async def delete_streams(self, job_id: str) -> None:
        async with translated():
            await self._collection("reports").delete_many({"job": job_id})


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Library errors become ours, cause kept."""
    try:
        yield
    except (DuplicateKeyError, ConfigurationError):
        raise
    except WaitQueueTimeoutError as error:
        raise Overloaded(OVERLOADED) from error
    except (PyMongoError, OSError) as error:
        # PyMongo goes on with its timeouts and all it knows of the servers.
        said = str(error).partition(", Timeout:")[0].partition(" (configured timeouts")[0]
        raise Unavailable(f"MongoDB does not answer: {said}") from error
