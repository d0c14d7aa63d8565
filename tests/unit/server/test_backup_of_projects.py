"""A backup keeps the project of each object, and a backup from before projects can be restored."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import msgpack
import pytest

from headway.core.dataset import Dataset, OwnedDataset
from headway.core.installation import Installation
from headway.core.job import Job, JobSpec
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


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def test_a_backup_keeps_the_project_of_each_object(tmp_path: Path) -> None:
    before, after = Settings(home=tmp_path / "before"), Settings(home=tmp_path / "after")
    sha256 = hashlib.sha256(b"code").hexdigest()
    owned = [OwnedDataset(project, a_dataset(name)) for project, name in ((None, "digits"), ("p", "one"), ("q", "one"))]
    database, objects = SqliteDatabase(before.effective_database_url), FileObjects(before.effective_objects_url)
    await database.open()
    await objects.open()
    await database.installation(Installation(id="i-1", secret="secret"))
    for one in owned:
        await database.put_dataset(one.project, one.dataset)
    await objects.put(snapshot_object(sha256), once(b"code"))
    spec = JobSpec(command=("true",), snapshot=sha256)
    fields = {"idempotency_key": "1", "body_hash": "", "spec": spec, "created_at": 1.0}
    await database.insert_job(Job(id="j-1", name="one", project="q", **fields))
    await database.add_owner("q", snapshot_object(sha256))
    await take_backup(before, tmp_path / "backup.zip")
    await database.close()
    await restore_backup(after, tmp_path / "backup.zip")
    restored = SqliteDatabase(after.effective_database_url)
    await restored.open()
    assert await restored.datasets() == owned
    assert await restored.owners("") == {("q", snapshot_object(sha256))}
    await restored.close()


@pytest.mark.parametrize(("name", "project"), [("digits", None), ("mine", "default")])
def test_a_record_from_before_projects_belongs_to_the_only_project(name: str, project: str | None) -> None:
    old = msgpack.packb((RecordKind.DATASET.value, "", a_dataset(name).model_dump_json()))
    assert list(decode_records(io.BytesIO(old))) == [dataset_record(OwnedDataset(project, a_dataset(name)))]
