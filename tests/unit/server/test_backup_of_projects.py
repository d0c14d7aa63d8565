"""A backup keeps the project of each object, and a backup from before projects can be restored."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import msgpack
import pytest

from headway.core.account import Project, StoredToken, User
from headway.core.audit import AuditEntry, Outcome
from headway.core.dataset import Dataset, OwnedDataset
from headway.core.installation import Installation
from headway.core.job import Job, JobSpec
from headway.database.base import AuditQuery
from headway.database.sqlite import SqliteDatabase
from headway.objects.files import FileObjects
from headway.server.backup import take_backup
from headway.server.backup_format import RecordKind, dataset_record, decode_records
from headway.server.restore import restore_backup
from headway.server.services.snapshots import snapshot_object
from headway.settings import Settings

pytestmark = pytest.mark.anyio


def a_dataset(name: str) -> Dataset:
    return Dataset(name=name, classes=2, splits={}, mean=0, deviation=1, full_scale=255)


def an_entry(number: int) -> AuditEntry:
    place = {"user": "ann", "credential": "t-1", "address": "", "project": None, "subject": "job j-1"}
    return AuditEntry(id=f"a-{number:04d}", at=1.0, action="jobs.write", outcome=Outcome.ALLOWED, **place)


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def test_a_backup_keeps_the_project_of_each_object(tmp_path: Path) -> None:
    before, after = Settings(home=tmp_path / "before"), Settings(home=tmp_path / "after")
    sha256 = hashlib.sha256(b"code").hexdigest()
    owned = [
        OwnedDataset(project, a_dataset(name), "ann", 2.5)
        for project, name in ((None, "digits"), ("p", "one"), ("q", "one"))
    ]
    database, objects = SqliteDatabase(before.effective_database_url), FileObjects(before.effective_objects_url)
    await database.open()
    await objects.open()
    await database.installation(Installation(id="i-1", secret="secret"))
    for one in owned:
        await database.put_dataset(one)
    await objects.put(snapshot_object(sha256), once(b"code"))
    spec = JobSpec(command=("true",), snapshot=sha256)
    fields = {"idempotency_key": "1", "body_hash": "", "spec": spec, "created_at": 1.0}
    await database.insert_job(Job(id="j-1", name="one", project="q", **fields))
    await database.add_owner("q", snapshot_object(sha256))
    token = StoredToken(id="t-1", user="u-1", name="ci", sha256="0" * 64, made_at=1.0, expires_at=None)
    for account in (Project(id="q", created_at=1.0), User(id="ann", uid="u-1", created_at=1.0), token):
        assert await database.put_account(account)
    assert await database.put_account(token.model_copy(update={"version": 2, "used_at": 5.0}))
    entries = [an_entry(number) for number in range(1500)]
    await database.insert_audit(entries)
    await take_backup(before, tmp_path / "backup.zip")
    await database.close()
    await restore_backup(after, tmp_path / "backup.zip")
    restored = SqliteDatabase(after.effective_database_url)
    await restored.open()
    assert await restored.datasets() == owned
    assert await restored.owners("") == {("q", snapshot_object(sha256))}
    assert await restored.accounts(StoredToken) == [token.model_copy(update={"used_at": 5.0})]
    assert [one.uid for one in await restored.accounts(User)] == ["u-1"]
    assert [one.id for one in await restored.accounts(Project)] == ["q"]
    assert await restored.audit(AuditQuery(limit=2000)) == entries[::-1]
    await restored.close()


@pytest.mark.parametrize(("name", "project"), [("digits", None), ("mine", "default")])
def test_a_record_from_before_projects_belongs_to_the_only_project(name: str, project: str | None) -> None:
    old = msgpack.packb((RecordKind.DATASET.value, "", a_dataset(name).model_dump_json()))
    assert list(decode_records(io.BytesIO(old))) == [dataset_record(OwnedDataset(project, a_dataset(name)))]
