"""A backup of data that changes meanwhile, and a restore into a database that loses rows."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headway.core.allocation_transitions import request_allocation
from headway.core.attempt import Assignment, Attempt
from headway.core.checkpoint import Checkpoint, CheckpointPart
from headway.core.installation import Installation
from headway.core.job import Event, Job, JobSpec
from headway.database.sql_streams import SqlStreams
from headway.database.sqlite import SqliteDatabase
from headway.errors import Corrupt
from headway.formats.reports import LogLine, Report, decode_logs, encode_logs, merge_reports
from headway.objects.files import FileObjects
from headway.server.backup import take_backup
from headway.server.restore import restore_backup
from headway.settings import Settings

pytestmark = pytest.mark.anyio
REPORTS = 150


class Installed:
    """A home with one job, and changes that a running server would make."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home)
        self.database = SqliteDatabase(self.settings.effective_database_url)
        self.objects = FileObjects(self.settings.effective_objects_url)

    async def open(self) -> None:
        await self.database.open()
        await self.objects.open()

    async def close(self) -> None:
        await self.database.close()

    async def fill(self) -> None:
        await self.open()
        await self.database.installation(Installation(id="i-1", secret="secret"))
        assignment = Assignment(worker="w", worker_name="w", first_rank=0, rank_count=1, applied=REPORTS)
        attempt = Attempt(number=1, placed_at=1.0, assignments=(assignment,))
        spec = JobSpec(script="s.py", source="")
        job = Job(
            id="j-1",
            project="default",
            name="one",
            idempotency_key="1",
            body_hash="",
            spec=spec,
            created_at=1.0,
            attempt=attempt,
        )
        job = await self.database.insert_job(job.model_copy(update={"event_count": 2}))
        await self.database.insert_events([("j-1", Event(number=n, type="t", at=1.0)) for n in (1, 2, 3)])
        await self.database.streams.insert([a_report(number) for number in range(1, REPORTS + 1)])
        await self.save(10)

    async def save(self, step: int) -> None:
        """Replace the checkpoint by a newer one."""
        job = await self.database.job("j-1")
        for part in await self.database.checkpoint_parts("j-1"):
            await self.objects.delete(part.object_id)
            await self.database.delete_checkpoint_part("j-1", part)
        stored = await self.objects.put(f"checkpoints/j-1/1/{step}/c-1", once(b"state"))
        place = {"attempt": 1, "step": step, "rank": 0, "object_id": f"checkpoints/j-1/1/{step}/c-1"}
        await self.database.put_checkpoint_part("j-1", CheckpointPart(**place, size_bytes=5, sha256=stored.sha256))
        checkpoints = (Checkpoint(attempt=1, step=step, world_size=1, at=1.0),)
        await self.database.replace_job(job.model_copy(update={"version": job.version + 1, "checkpoints": checkpoints}))


def a_report(number: int) -> Report:
    return Report("j-1", 1, "w", number, number, logs=encode_logs(number, [LogLine(0, 0.0, str(number))]))


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def test_a_checkpoint_that_is_replaced_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a job whose checkpoint is replaced during the backup, then the backup has the newer one completely."""
    home = Installed(tmp_path / "home")
    await home.fill()
    read, steps = FileObjects.get, iter([20, 30])

    async def replaced(self: FileObjects, object_id: str, *place: Any) -> AsyncIterator[bytes]:
        for step in steps:
            await home.save(step)
            break
        async for chunk in read(self, object_id, *place):
            yield chunk

    monkeypatch.setattr(FileObjects, "get", replaced)
    manifest = await take_backup(home.settings, tmp_path / "backup.zip")
    monkeypatch.undo()
    await home.close()
    assert manifest.damaged == ()
    await restore_backup(Settings(home=tmp_path / "new"), tmp_path / "backup.zip")
    new = Installed(tmp_path / "new")
    await new.open()
    (part,) = await new.database.checkpoint_parts("j-1")
    assert part.step == 30
    assert [one.step for one in (await new.database.job("j-1")).checkpoints] == [30]
    assert b"".join([chunk async for chunk in new.objects.get(part.object_id)]) == b"state"
    assert [event.number for event in await new.database.events("j-1", 0, 10)] == [1, 2], (
        "the job does not have the third yet"
    )
    await new.close()


async def test_reports_that_are_compacted_while_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given reports that are compacted after the first page was read, then each line is in the backup once."""
    home = Installed(tmp_path / "home")
    await home.fill()
    read, compacted = SqlStreams.reports, []

    async def compacting(self: SqlStreams, *place: Any) -> list[Report]:
        found = await read(self, *place)
        if not compacted:
            compacted.append(True)
            await home.database.streams.compact(merge_reports([a_report(number) for number in range(1, REPORTS + 1)]))
        return found

    monkeypatch.setattr(SqlStreams, "reports", compacting)
    await take_backup(home.settings, tmp_path / "backup.zip")
    monkeypatch.undo()
    await home.close()
    await restore_backup(Settings(home=tmp_path / "new"), tmp_path / "backup.zip")
    new = Installed(tmp_path / "new")
    await new.open()
    lines = [
        line.text
        for report in await new.database.streams.reports("j-1", 1, "w", 0, REPORTS, REPORTS)
        for line in decode_logs(report.logs)
    ]
    assert lines == [str(number) for number in range(1, REPORTS + 1)]
    await new.close()


async def test_a_database_that_loses_restored_rows_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Installed(tmp_path / "home")
    await home.fill()
    await take_backup(home.settings, tmp_path / "backup.zip")
    await home.close()

    async def forget(*_: object) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(SqliteDatabase, "insert_events", forget)
    with pytest.raises(Corrupt, match="The database differs from the backup"):
        await restore_backup(Settings(home=tmp_path / "new"), tmp_path / "backup.zip")


async def test_a_restored_job_has_no_machines_of_before_and_asks_under_another_id(tmp_path: Path) -> None:
    home = Installed(tmp_path / "home")
    await home.fill()
    spec = JobSpec(command=("true",), engine="local")
    job = Job(id="j-2", project="default", name="two", idempotency_key="2", body_hash="", spec=spec, created_at=1.0)
    job = request_allocation(await home.database.insert_job(job), 2.0)
    await home.database.replace_job(job.model_copy(update={"version": 2, "releasing": ("j-2-0",)}))
    await take_backup(home.settings, tmp_path / "backup.zip")
    await home.close()
    new = Installed(tmp_path / "new")
    await restore_backup(new.settings, tmp_path / "backup.zip")
    await new.open()
    restored = await new.database.job("j-2")
    assert (restored.allocation, restored.releasing) == (None, ())
    again = request_allocation(restored, 3.0).allocation
    assert again is not None
    assert again.id == "j-2-2", "workers of the first allocation cannot join"
    await new.close()


async def test_a_row_that_cannot_be_read_is_named_and_left_out(tmp_path: Path) -> None:
    home = Installed(tmp_path / "home")
    await home.fill()
    await home.close()
    with closing(sqlite3.connect(tmp_path / "home" / "headway.db")) as connection:
        connection.execute("UPDATE events SET document = '{' WHERE number = 1")
        connection.commit()
    assert (await take_backup(home.settings, tmp_path / "backup.zip")).damaged == ("event j-1/1",)
    new = Installed(tmp_path / "new")
    await restore_backup(new.settings, tmp_path / "backup.zip")
    await new.open()
    assert [one.number for one in await new.database.events("j-1", 0, 9)] == [2]
    await new.close()
