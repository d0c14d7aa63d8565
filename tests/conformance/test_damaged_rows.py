"""In every database, a stored row that cannot be read blocks nothing: it is left out, listed, and can be deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bson import ObjectId
from sqlalchemy import text

from headway.core.account import User
from headway.core.attempt import Attempt
from headway.core.audit import AuditEntry, Outcome
from headway.core.checkpoint import CheckpointPart
from headway.core.damaged import RowKind
from headway.core.dataset import Dataset, OwnedDataset
from headway.core.job import Event, Job, JobSpec
from headway.core.job_query import JobQuery, JobSort
from headway.core.worker import Worker
from headway.database.base import AuditQuery, Database
from headway.database.mongodb import MongodbDatabase
from headway.database.sql import SqlDatabase
from headway.errors import Damaged
from headway.formats.reports import LogLine, Report, decode_logs, encode_logs
from tests.conformance.backends import run

pytestmark = pytest.mark.anyio
COLLECTIONS = {
    RowKind.JOB: "jobs", RowKind.ATTEMPT: "attempts", RowKind.CHECKPOINT: "checkpoint_parts", RowKind.EVENT: "events",
    RowKind.WORKER: "workers", RowKind.DATASET: "datasets", RowKind.REPORT: "reports",
    RowKind.ACCOUNT: "accounts", RowKind.AUDIT: "audit",
}  # fmt: skip
DOCUMENTS = ["", "{", "null", "[]", '{"id": 1}', '{"name": "x", "spec": {"parameters": {"lr": null}}}']


async def damage(database: Database, kind: RowKind, document: str, **row: object) -> None:
    """Put another document into a row, or other facts into a report."""
    column = "facts" if kind is RowKind.REPORT else "document"
    value = document.encode() if kind is RowKind.REPORT else document
    if isinstance(database, SqlDatabase):
        where = " AND ".join(f"{name} = :{name}" for name in row)
        update = text(f"UPDATE {COLLECTIONS[kind]} SET {column} = :value WHERE {where}")  # noqa: S608
        transaction = database.streams._transaction if kind is RowKind.REPORT else database._main
        async with transaction(write=True) as connection:
            assert (await connection.execute(update, {"value": value, **row})).rowcount == 1
    else:
        key = {"_id" if name == "id" else name: one for name, one in row.items()}
        done = await database._connections.collection(COLLECTIONS[kind]).update_one(key, {"$set": {column: value}})  # type: ignore[attr-defined]
        assert done.matched_count == 1


def a_job(name: str) -> Job:
    spec = JobSpec(script="s.py", source="1")
    return Job(
        id=f"j-{name}", project="default", name=name, idempotency_key=name, body_hash="h", spec=spec, created_at=1.5
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=range(len(DOCUMENTS)))
async def test_a_damaged_job_stops_no_list(database: Database, document: str) -> None:
    for number in range(6):
        await database.insert_job(a_job(f"n{number}"))
    for number in (1, 2, 4):
        await damage(database, RowKind.JOB, document, id=f"j-n{number}")
    whole = ["n0", "n3", "n5"]
    assert [one.name for one in await database.jobs(JobQuery(project="default", limit=3))] == whole[::-1]
    assert [one.name for one in await database.jobs(JobQuery(project="default", limit=2, sort=JobSort.LOSS))] == [
        "n5",
        "n3",
    ]
    assert [one.name for one in await database.queued_jobs(None, 2)] == ["n0", "n3"]
    assert [one.job.name for one in await database.jobs_by_age(0, 3)] == whole
    assert await database.unsettled_jobs() == []
    for asked in (
        database.job("j-n1"), database.job_named("default", "n1"), database.job_with_key("default", "n1"),
    ):  # fmt: skip
        with pytest.raises(Damaged, match=r"Job n1 is damaged: .*headway delete n1"):
            await asked
    rows = database.damage.rows(RowKind.JOB)
    assert [(row.id, row.name) for row in sorted(rows, key=lambda row: row.id)] == [
        (f"j-n{number}", f"n{number}") for number in (1, 2, 4)
    ]
    assert all(row.reason for row in rows)


async def test_a_deleted_damaged_job_is_gone_with_all_it_had(database: Database) -> None:
    job = await database.insert_job(a_job("one"))
    await database.put_attempt(job.id, Attempt(number=1, placed_at=1.0, assignments=()))
    await database.insert_events([(job.id, Event(number=1, type="t", at=1.0))])
    await database.streams.insert([Report(job.id, 1, "w", 1, 1)])
    await damage(database, RowKind.JOB, "{", id=job.id)
    assert await database.jobs(JobQuery(project="default")) == []
    (row,) = database.damage.rows()
    await database.streams.delete_damaged(row)
    await database.delete_row(row)
    assert database.damage.rows() == []
    assert await database.job_named("default", "one") is None
    assert await database.attempts(job.id) == []
    assert await database.events(job.id, 0, 9) == []
    assert await database.streams.index(job.id, 1) == []
    assert (await database.insert_job(a_job("one"))).name == "one"


async def test_a_damaged_row_of_any_other_kind_is_left_out_alone(database: Database) -> None:
    for number in (1, 2, 3):
        await database.put_attempt("j", Attempt(number=number, placed_at=1.0, assignments=()))
        part = CheckpointPart(attempt=1, step=number, rank=0, object_id="o", size_bytes=1, sha256="0" * 64)
        await database.put_checkpoint_part("j", part)
        await database.insert_events([("j", Event(number=number, type="t", at=1.0))])
        worker = {"id": f"w-{number}", "name": f"w{number}", "slots": 1, "threads_per_slot": 1, "host": "h", "port": 1}
        await database.put_worker(Worker(**worker, registered_at=1.0))
        index = {"name": f"d{number}", "classes": 1, "splits": {}, "mean": 1, "deviation": 1, "full_scale": 1}
        await database.put_dataset(OwnedDataset("p", Dataset.model_validate(index)))
        logs = encode_logs(number, [LogLine(0, 1.0, f"line {number}")])
        await database.streams.insert([Report("j", 1, "w", number, number, logs=logs)])
    await damage(database, RowKind.ATTEMPT, "{", job="j", number=2)
    await damage(database, RowKind.CHECKPOINT, "{}", job="j", step=2)
    await damage(database, RowKind.EVENT, "null", job="j", number=2)
    await damage(database, RowKind.WORKER, "[", id="w-2")
    await damage(database, RowKind.DATASET, '{"mean": null}', name="d2", project="p")
    await damage(database, RowKind.REPORT, '[{"type": "nonsense"}]', job="j", number=2)
    assert [one.number for one in await database.attempts("j")] == [1, 3]
    assert [one.step for one in await database.checkpoint_parts("j")] == [1, 3]
    assert [one.number for one in await database.events("j", 0, 2)] == [1, 3]
    assert {one.id for one in await database.workers()} == {"w-1", "w-3"}
    assert [one.dataset.name for one in await database.datasets()] == ["d1", "d3"]
    reports = await database.streams.reports("j", 1, "w", 0, 9, 9)
    assert [line.text for one in reports for line in decode_logs(one.logs)] == ["line 1", "line 2", "line 3"]
    rows = {row.kind: row.id for row in database.damage.rows()}
    assert rows == {
        RowKind.ATTEMPT: "j/2", RowKind.CHECKPOINT: "j/1/2/0", RowKind.EVENT: "j/2", RowKind.WORKER: "w-2",
        RowKind.DATASET: "p/d2", RowKind.REPORT: "j/1/w/2",
    }  # fmt: skip
    for row in database.damage.rows():
        await (database.streams.delete_damaged if row.kind is RowKind.REPORT else database.delete_row)(row)
    assert database.damage.rows() == []
    await database.attempts("j")
    await database.checkpoint_parts("j")
    await database.events("j", 0, 9)
    assert len(await database.workers()) == len(await database.datasets()) == 2
    assert [one.number for one in await database.streams.reports("j", 1, "w", 0, 9, 9)] == [1, 3]
    assert database.damage.rows() == []


async def test_a_row_that_is_stored_again_is_not_damaged_any_more(database: Database) -> None:
    index = {"name": "d", "classes": 1, "splits": {}, "mean": 1, "deviation": 1, "full_scale": 1}
    await database.put_dataset(OwnedDataset("p", Dataset.model_validate(index)))
    await damage(database, RowKind.DATASET, "{", name="d", project="p")
    assert await database.datasets() == []
    assert len(database.damage.rows()) == 1
    await database.put_dataset(OwnedDataset("p", Dataset.model_validate(index)))
    assert database.damage.rows() == []


async def test_a_job_that_an_earlier_version_stored_is_read(database: Database) -> None:
    """The earlier version called settling streams `draining`."""
    job = await database.insert_job(a_job("old"))
    fields = json.loads(job.model_copy(update={"settling": (1, 2)}).model_dump_json())
    fields["draining"] = fields.pop("settling")
    await damage(database, RowKind.JOB, json.dumps(fields), id=job.id)
    assert (await database.job(job.id)).settling == (1, 2)


KEYS = [ObjectId("0" * 24), 5, b"\xff", {"a": 1}, True, "x'ff'"]


@pytest.mark.parametrize("key", KEYS, ids=repr)
async def test_documents_whose_key_is_none_of_ours_are_shown_and_deleted(key: object, tmp_path: Path) -> None:
    """Given documents in MongoDB that Headway did not write, or that lack a field."""
    async with run("database", "mongodb", tmp_path) as url:
        database = MongodbDatabase(url)
        await database.open()
        job = await database.insert_job(a_job("one"))
        await store_one_of_each(database, job.id)
        for kind in RowKind:
            collection = database._connections.collection(COLLECTIONS[kind])
            whole = await collection.find_one()
            other = {"name": "other", "idempotency_key": "other"} if kind is RowKind.JOB else {}
            await collection.insert_one({**whole, **other, "_id": key})
            lacking = {name: value for name, value in whole.items() if name not in LOST_FIELDS[kind]}
            await collection.replace_one({"_id": whole["_id"]}, {**lacking, "_id": whole["_id"]})
        for _ in range(2):
            await read_all(database, job.id)
            damaged = database.damage.rows()
            assert {row.kind for row in damaged} == set(RowKind)
            assert len(damaged) == 2 * len(RowKind)
        for row in damaged:
            await (database.streams.delete_damaged if row.kind is RowKind.REPORT else database.delete_row)(row)
        await read_all(database, job.id)
        assert database.damage.rows() == []
        await database.close()


LOST_FIELDS = {
    RowKind.JOB: ["deleted"], RowKind.ATTEMPT: ["document"], RowKind.CHECKPOINT: ["document"],
    RowKind.EVENT: ["document"], RowKind.WORKER: ["document"], RowKind.DATASET: ["document"],
    RowKind.REPORT: ["through"], RowKind.ACCOUNT: ["document"], RowKind.AUDIT: ["document"],
}  # fmt: skip


async def store_one_of_each(database: Database, job: str) -> None:
    await database.put_attempt(job, Attempt(number=1, placed_at=1.0, assignments=()))
    part = CheckpointPart(attempt=1, step=1, rank=0, object_id="o", size_bytes=1, sha256="0" * 64)
    await database.put_checkpoint_part(job, part)
    await database.insert_events([(job, Event(number=1, type="t", at=1.0))])
    description = {"id": "w", "name": "w", "slots": 1, "threads_per_slot": 1, "host": "h", "port": 1}
    await database.put_worker(Worker(**description, registered_at=1.0))
    index = {"name": "d", "classes": 1, "splits": {}, "mean": 1, "deviation": 1, "full_scale": 1}
    await database.put_dataset(OwnedDataset("p", Dataset.model_validate(index)))
    await database.put_account(User(id="ann", uid="u-1", created_at=1.0))
    entry = {"user": "", "credential": "", "address": "", "action": "a", "project": None, "subject": "s"}
    await database.insert_audit([AuditEntry(id="a-1", at=1.0, outcome=Outcome.REFUSED, **entry)])
    await database.streams.insert([Report(job, 1, "w", 1, 1)])


async def read_all(database: Database, job: str) -> None:
    await database.jobs_by_age(0, 9)
    await database.attempts(job)
    await database.checkpoint_parts(job)
    await database.events(job, 0, 9)
    await database.workers()
    await database.datasets()
    await database.accounts(User)
    await database.audit(AuditQuery())
    await database.streams.index(job, 1)
    await database.streams.sizes()
    assert await database.streams.reports(job, 1, "w", 0, 9, 9) == []
    assert await database.owners("") == set()
