"""The form of Headway's records as MongoDB documents, and their filters and keys."""

from __future__ import annotations

import re
from typing import Any

import bson
from pymongo import ASCENDING, DESCENDING, IndexModel

from headway.core.audit import AuditEntry
from headway.core.checkpoint import CheckpointPart
from headway.core.facts import Fact
from headway.core.job import Job
from headway.core.job_query import JobQuery, JobSort
from headway.database.damage import foreign_bytes, row_key
from headway.database.job_documents import job_of_text
from headway.database.job_index import index_fields
from headway.formats.reports import Report, decode_facts, encode_facts

Document = dict[str, Any]
_REPORT_TYPES: dict[str, type] = {
    "worker": str,
    "number": int,
    "through": int,
    "last": bool,
    "has_facts": bool,
    "facts": bytes,
    "logs": bytes,
    "metrics": bytes,
}

INDEXES = {
    "jobs": [
        IndexModel([("project", ASCENDING), ("idempotency_key", ASCENDING)], unique=True, name="key"),
        IndexModel([("project", ASCENDING), ("name", ASCENDING)], unique=True, name="name"),
        IndexModel([("status", ASCENDING), ("priority", DESCENDING), ("sequence", ASCENDING)], name="queue"),
        IndexModel([("unsettled", ASCENDING)], name="unsettled"),
        IndexModel(
            [("project", ASCENDING), ("deleted", ASCENDING), ("status", ASCENDING), ("hold", ASCENDING)], name="status"
        ),
        IndexModel([("sequence", ASCENDING)], name="age"),
        *(
            IndexModel([("project", ASCENDING), (sort.value, DESCENDING), ("sequence", DESCENDING)], name=sort.value)
            for sort in JobSort
        ),
    ],
    "attempts": [IndexModel([("job", ASCENDING), ("number", ASCENDING)], name="job")],
    "events": [IndexModel([("job", ASCENDING), ("number", ASCENDING)], name="job")],
    "checkpoint_parts": [IndexModel([("job", ASCENDING)], name="job")],
    "accounts": [IndexModel([("kind", ASCENDING)], name="kind")],
    "audit": [
        IndexModel([("project", ASCENDING), ("_id", DESCENDING)], name="project"),
        IndexModel([("user", ASCENDING), ("_id", DESCENDING)], name="user"),
    ],
    "reports": [
        IndexModel(
            [("job", ASCENDING), ("attempt", ASCENDING), ("worker", ASCENDING), ("number", ASCENDING)], name="stream"
        )
    ],
}


def where_of(query: JobQuery) -> Document:
    """The filter of a list of jobs."""
    where: Document = {"project": query.project, "deleted": False}
    if query.statuses:
        where["status"] = {"$in": [status.value for status in query.statuses]}
    if query.name:
        where["name"] = {"$regex": re.escape(query.name)}
    if query.dataset is not None:
        where["dataset"] = query.dataset
    if query.labels:
        where["labels"] = {"$all": [f"{name}={value}" for name, value in query.labels.items()]}
    created = {"$gte": query.created_after, "$lt": query.created_before}
    bounds = {word: bound for word, bound in created.items() if bound is not None}
    return {"$and": [where, {"created": bounds}]} if bounds else where


def key_of(document: Document) -> str:
    """A document's `_id` as text. Headway writes only text; other ids get the form of such keys in `row_key`."""
    key = document["_id"]
    return key if _is_ours(key) else row_key(bson.encode({"_id": key}))


def id_of(key: str) -> Any:
    """The `_id` of a text from `key_of`."""
    foreign = foreign_bytes(key)
    return key if foreign is None else bson.decode(foreign)["_id"]


def _is_ours(key: Any) -> bool:
    return isinstance(key, str) and foreign_bytes(key) is None


def job_of(document: Document) -> Job:
    """The job in a document of `jobs`."""
    sequence = document["sequence"]
    if not isinstance(sequence, int):
        raise TypeError("its sequence is not an integer")
    return job_of_text(document["document"]).model_copy(update={"sequence": sequence})


def job_fields(job: Job) -> Document:
    """The fields of a job's document that change with its version."""
    return {
        **index_fields(job),
        "document": job.model_dump_json(),
        "labels": [f"{name}={value}" for name, value in job.labels.items()],
        "body_hash": job.body_hash,
    }


def part_key(job_id: str, part: CheckpointPart) -> str:
    """The `_id` of a part of a checkpoint."""
    return f"{job_id}/{part.attempt}/{part.step}/{part.rank}"


def audit_document(entry: AuditEntry) -> Document:
    """The document of an entry of the audit."""
    return {"_id": entry.id, "project": entry.project, "user": entry.user, "document": entry.model_dump_json()}


def report_document(report: Report) -> Document:
    """The document of a report. Its `_id` prevents a second copy."""
    facts = encode_facts(report.facts)
    return {
        "_id": f"{report.job}/{report.attempt}/{report.worker}/{report.number}",
        "job": report.job,
        "attempt": report.attempt,
        "worker": report.worker,
        "number": report.number,
        "through": report.through,
        "last": report.last,
        "has_facts": bool(report.facts),
        "size_bytes": len(facts) + len(report.logs) + len(report.metrics),
        "facts": facts,
        "logs": report.logs,
        "metrics": report.metrics,
    }


def is_report(document: Document, fields: Document | None) -> bool:
    """Whether the fields, or all, of a document of `reports` have the types that a report's have."""
    return _is_ours(document["_id"]) and all(
        isinstance(document.get(name), of_type)
        for name, of_type in _REPORT_TYPES.items()
        if fields is None or name in fields
    )


def facts_of(document: Document) -> tuple[Fact, ...]:
    """The facts of the report in a document."""
    return decode_facts(bytes(document["facts"]))


def report_of(document: Document, facts: tuple[Fact, ...]) -> Report:
    """The report in a document, with the facts that could be read."""
    place = (document["job"], document["attempt"], document["worker"], document["number"], document["through"])
    return Report(*place, document["last"], facts, bytes(document["logs"]), bytes(document["metrics"]))
