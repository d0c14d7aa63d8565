"""Reports in MongoDB: the streams of jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from pymongo import ASCENDING

from headway.core.damaged import DamagedRow, RowKind
from headway.database.damage import Damage
from headway.database.mongodb_connections import MongodbConnections, translated
from headway.database.mongodb_documents import Document, facts_of, id_of, is_report, key_of, report_document, report_of
from headway.database.streams import MetricsSection, ReportIndex, StreamStore
from headway.formats.reports import Report


class MongodbStreams(StreamStore):
    """One collection of reports and chunks."""

    def __init__(self, connections: MongodbConnections, damage: Damage) -> None:
        self._connections = connections
        self._damage = damage

    async def insert(self, reports: Sequence[Report]) -> None:
        async with translated():
            await self._connections.insert_missing("reports", [report_document(report) for report in reports])

    async def index(self, job_id: str, attempt: int) -> list[ReportIndex]:
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
            facts = self._damage.read(RowKind.REPORT, key_of(one), "", lambda one=one: facts_of(one)) or ()  # type: ignore[misc]
            found.append(report_of(one, facts))
            if len(found) == limit:
                break
        return found

    async def reports_before(self, job_id: str, attempt: int, worker: str, before: int, limit: int) -> list[Report]:
        # A report that a chunk covers is still there until it is deleted: the chunk, which begins before it, has it.
        where = {"job": job_id, "attempt": attempt, "worker": worker}
        index = [one for one in await self.index(job_id, attempt) if one.worker == worker and one.number < before]
        numbers = [one.number for one in index[-limit:]]
        found: dict[int, Report] = {}
        async for one in self._uncovered({**where, "number": {"$in": numbers}}):
            found[one["number"]] = report_of(one, ())
        return [found[number] for number in reversed(numbers) if number in found]

    async def metrics_sections(self, job_id: str, attempt: int) -> list[MetricsSection]:
        fields = {"worker": 1, "number": 1, "through": 1, "metrics": 1}
        found = self._uncovered({"job": job_id, "attempt": attempt}, fields)
        return [
            MetricsSection(one["worker"], one["through"], bytes(one["metrics"]))
            async for one in found
            if one["metrics"]
        ]

    async def _uncovered(self, where: Document, fields: Document | None = None) -> AsyncIterator[Document]:
        """Reports by worker and number, without reports that an earlier chunk covers: these will be deleted."""
        order = [("worker", ASCENDING), ("number", ASCENDING)]
        worker, through = "", 0
        async with translated():
            async for one in self._connections.collection("reports").find(where, fields, sort=order):
                if not is_report(one, fields):
                    self._damage.note(RowKind.REPORT, key_of(one), "", TypeError("it has fields of other types"))
                    continue
                if one["worker"] == worker and one["number"] <= through:
                    continue
                worker, through = one["worker"], one["through"]
                yield one

    async def compact(self, chunk: Report) -> None:
        # The chunk replaces the first report that it covers. From then on, readers skip the other covered reports.
        document = report_document(chunk)
        covered = {"job": chunk.job, "attempt": chunk.attempt, "worker": chunk.worker}
        covered |= {"number": {"$gt": chunk.number}, "through": {"$lte": chunk.through}}
        async with translated():
            await self._connections.collection("reports").replace_one({"_id": document["_id"]}, document, upsert=True)
            await self._connections.collection("reports").delete_many(covered)

    async def sizes(self) -> dict[str, int]:
        of_jobs = {"$match": {"job": {"$type": "string"}}}
        group = {"$group": {"_id": "$job", "size_bytes": {"$sum": "$size_bytes"}}}
        async with translated():
            found = await self._connections.collection("reports").aggregate([of_jobs, group])
            return {one["_id"]: int(one["size_bytes"]) async for one in found}

    async def delete(self, job_id: str) -> None:
        async with translated():
            await self._connections.collection("reports").delete_many({"job": job_id})

    async def delete_damaged(self, row: DamagedRow) -> None:
        where = {"job" if row.kind is RowKind.JOB else "_id": id_of(row.id)}
        async with translated():
            await self._connections.collection("reports").delete_many(where)
        if row.kind is RowKind.REPORT:
            self._damage.forget(row.kind, row.id)
