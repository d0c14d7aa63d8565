"""What every database promises about datasets of projects, owners of objects, and homes from before projects."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from headway.backend_registry import backend
from headway.core.dataset import Dataset, OwnedDataset
from headway.core.job import Job, JobSpec
from headway.core.status import JobStatus
from headway.database.base import Database
from headway.database.mongodb import MongodbDatabase
from headway.database.schema import MAIN, migrate
from headway.errors import SettingInvalid
from tests.conformance.backends import run

pytestmark = pytest.mark.anyio
A, B = "a" * 64, "b" * 64


def a_dataset(name: str, classes: int = 2) -> Dataset:
    return Dataset(name=name, classes=classes, splits={}, mean=0, deviation=1, full_scale=255)


def a_job(name: str, project: str, snapshot: str | None) -> Job:
    spec = JobSpec(command=("true",), snapshot=snapshot)
    fields = {"idempotency_key": name, "body_hash": "h", "spec": spec, "created_at": 1.5}
    return Job(id=f"j-{name}", name=name, project=project, **fields)


async def test_each_project_has_datasets_of_its_own(database: Database) -> None:
    """Given one name in two projects and as a shared dataset, then each is stored and replaced separately."""
    for project, classes in (("vision", 2), ("audio", 3), (None, 4), ("vision", 5)):
        await database.put_dataset(OwnedDataset(project, a_dataset("digits", classes)))
    assert await database.datasets() == [
        OwnedDataset(None, a_dataset("digits", 4)),
        OwnedDataset("audio", a_dataset("digits", 3)),
        OwnedDataset("vision", a_dataset("digits", 5)),
    ]


async def test_a_deleted_dataset_leaves_those_of_other_projects(database: Database) -> None:
    for project in (None, "p", "q"):
        await database.put_dataset(OwnedDataset(project, a_dataset("mine"), added_by="ann", added_at=2.5))
    for _ in range(2):  # again: nothing changes
        await database.delete_dataset("p", "mine")
    assert await database.datasets() == [
        OwnedDataset(project, a_dataset("mine"), "ann", 2.5) for project in (None, "q")
    ]
    await database.delete_dataset(None, "mine")
    assert [one.project for one in await database.datasets()] == ["q"]


async def test_datasets_are_in_the_same_order_in_every_database(database: Database) -> None:
    names = ["a", "a-b", "a.c", "a0", "a_b", "ab"]
    for name in reversed(names):
        await database.put_dataset(OwnedDataset("p", a_dataset(name)))
    assert [one.dataset.name for one in await database.datasets()] == names


async def test_an_object_is_owned_by_the_projects_that_were_added(database: Database) -> None:
    for project, object_id in (("p", "blocks/1"), ("p", "blocks/1"), ("q", "blocks/1"), ("p", "snapshots/2")):
        await database.add_owner(project, object_id)
    assert await database.owned("p", ["blocks/1", "snapshots/2", "snapshots/3"]) == {"blocks/1", "snapshots/2"}
    assert await database.owned("q", ["snapshots/2"]) == set()
    assert await database.owned("p", []) == set()
    assert await database.owners("blocks/") == {("p", "blocks/1"), ("q", "blocks/1")}
    assert await database.owners("_locks/") == set(), "a prefix has no wildcards"
    await database.remove_owner("p", ["blocks/1", "snapshots/3"])
    assert await database.owners("") == {("q", "blocks/1"), ("p", "snapshots/2")}


async def test_many_objects_are_asked_for_at_once(database: Database) -> None:
    many = [f"blocks/{number}" for number in range(1000)]
    await database.add_owner("p", many[7])
    assert await database.owned("p", many) == {many[7]}
    await database.remove_owner("p", many)
    assert await database.owned("p", many) == set()


async def test_named_snapshots_are_those_of_jobs_that_are_not_deleted(database: Database) -> None:
    for number, (project, snapshot) in enumerate((("p", A), ("p", B), ("p", A), ("q", A), ("q", None))):
        job = await database.insert_job(a_job(f"job{number}", project, snapshot))
        if number == 1:
            gone = job.model_copy(update={"version": job.version + 1, "status": JobStatus.FAILED})
            assert await database.delete_job(gone)
    assert await database.named_snapshots() == {("p", A), ("q", A)}


async def test_a_home_from_before_projects_keeps_its_datasets_and_snapshots(database_url: str) -> None:
    """Given a home of the previous version, when this version opens it, built-in datasets are shared and others are
    not.
    """
    old = [a_dataset("digits"), a_dataset("mine")]
    if database_url.startswith("mongodb"):
        await store_in_old_mongodb(database_url, old)
    else:
        await store_in_old_sql(database_url, old)
    database: Database = backend("database", database_url)(database_url)
    for _ in range(2):  # opened again, nothing changes
        await database.open()
        assert await database.datasets() == [OwnedDataset(None, old[0]), OwnedDataset("default", old[1])]
        assert await database.owners("snapshots/") == {("default", f"snapshots/aa/{A}")}
        assert database.damage.rows() == []
        await database.close()


async def store_in_old_sql(url: str, datasets: list[Dataset]) -> None:
    driver = url.replace("sqlite://", "sqlite+aiosqlite://").replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(driver)
    job = {
        "project": "default",
        "key": "k",
        "status": "failed",
        "document": a_job("one", "default", A).model_dump_json(),
    }
    async with engine.begin() as connection:
        await connection.run_sync(migrate, MAIN._replace(revision="0006"))
        for one in datasets:
            values = {"name": one.name, "document": one.model_dump_json()}
            await connection.execute(text("INSERT INTO datasets (name, document) VALUES (:name, :document)"), values)
        await connection.execute(
            text(
                "INSERT INTO jobs (id, project, name, idempotency_key, body_hash, status, priority, version, "
                "unsettled, deleted, document, snapshot) "
                "VALUES ('j-one', :project, 'one', :key, 'h', :status, 0, 1, false, false, :document, :snapshot)"
            ),
            {**job, "snapshot": A},
        )
    await engine.dispose()


async def store_in_old_mongodb(url: str, datasets: list[Dataset]) -> None:
    database = MongodbDatabase(url)
    await database.open()
    await database.insert_job(a_job("one", "default", A))
    await database._connections.collection("installation").update_one({"_id": "schema"}, {"$set": {"version": 1}})
    for one in datasets:
        await database._connections.collection("datasets").insert_one(
            {"_id": one.name, "document": one.model_dump_json()}
        )
    await database.close()


async def test_what_a_leader_of_the_version_before_adds_meanwhile_is_found(tmp_path: Path) -> None:
    """Given a MongoDB that this version has opened, when the old leader adds a dataset, then this version finds it."""
    async with run("database", "mongodb", tmp_path) as url:
        database = MongodbDatabase(url)
        await database.open()
        document = a_dataset("late").model_dump_json()
        await database._connections.collection("datasets").insert_one({"_id": "late", "document": document})
        assert await database.datasets() == [OwnedDataset("default", a_dataset("late"))]
        await database.close()


async def test_a_server_of_the_version_before_refuses_a_mongodb_with_projects(tmp_path: Path) -> None:
    async with run("database", "mongodb", tmp_path) as url:
        database = MongodbDatabase(url)
        await database.open()
        stored = await database._connections.collection("installation").find_one({"_id": "schema"})
        assert stored["version"] > 1, "the version before projects knows 1"
        await database._connections.collection("installation").update_one({"_id": "schema"}, {"$set": {"version": 99}})
        await database.close()
        with pytest.raises(SettingInvalid, match="has schema 99"):
            await database.open()


async def test_a_damaged_dataset_of_an_old_sqlite_is_kept_as_it_is(tmp_path: Path) -> None:
    await store_in_old_sql(f"sqlite:///{tmp_path / 'headway.db'}", [a_dataset("mine")])
    connection = sqlite3.connect(tmp_path / "headway.db")
    connection.execute("UPDATE datasets SET document = '{'")
    connection.commit()
    connection.close()
    url = f"sqlite:///{tmp_path / 'headway.db'}"
    database: Database = backend("database", url)(url)
    await database.open()
    assert await database.datasets() == []
    assert [row.id for row in database.damage.rows()] == ["default/mine"]
    await database.close()
