"""A whole running installation is backed up into a file and restored into other backends."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZipFile

import pytest

import headway
from headway.client import Client
from headway.drill.checks import broken_invariants, weights_of
from headway.errors import IdempotencyKeyReused
from tests.fleet import Fleet, ended, has_checkpoint, wait_until
from tests.services import database_for_processes

SOURCE = (Path(headway.__file__).parent / "drill" / "training.py").read_text()


@contextmanager
def fleet_over(folder: Path, database: str) -> Iterator[Fleet]:
    folder.mkdir()
    with (
        database_for_processes(database, folder / "server") as url,
        Fleet(folder, database_url=url, heartbeat_seconds=0.7) as fleet,
    ):
        yield fleet


def started(fleet: Fleet) -> None:
    fleet.start_server()
    fleet.start_worker("one", slots=2)
    fleet.wait_for_workers(1)


@pytest.mark.parametrize(
    ("before", "after"), [("sqlite", "postgresql"), ("postgresql", "mongodb"), ("mongodb", "sqlite")]
)
def test_an_installation_moves_to_another_database_while_it_works(tmp_path: Path, before: str, after: str) -> None:
    """Given ended jobs, a deleted one and a running one, when a backup is restored elsewhere, nothing is missing.

    The running job continues from its checkpoint, and ends with the weights of an uninterrupted run.
    """
    file = tmp_path / "backup.zip"
    with fleet_over(tmp_path / "before", before) as fleet:
        started(fleet)
        whole = ended(fleet.script(SOURCE, world_size=2, name="whole"))
        with fleet.client() as client:
            client.submit({"command": ["true"], "name": "again"}, idempotency_key="used-once").wait(progress=False)
            client.job("again").delete()
            client.submit({"command": ["true"], "name": "again"}).wait(progress=False)
        model, lines = weights_of(whole), list(whole.logs())
        working = fleet.script(SOURCE, world_size=2, name="working")
        wait_until(lambda: has_checkpoint(working), "a checkpoint")
        fleet.kill("one", signal.SIGSTOP)  # what it has not reported yet is not in the backup
        saved = fleet.command("backup", str(file), "--json", **fleet.settings)
        fleet.kill("one", signal.SIGCONT)
        assert saved.returncode == 0, saved.stderr
        counts = json.loads(saved.stdout)["counts"]
        assert (counts["job"], counts["tombstone"]) == (3, 1)
        assert ended(working).status == "succeeded", "the backup did not disturb the job"
        token = (fleet.home / "user.token").read_text().strip()
    with fleet_over(tmp_path / "after", after) as fleet:
        restored = fleet.command("restore", str(file), **fleet.settings)
        assert restored.returncode == 0, restored.stderr
        assert "is the same as the backup" in restored.stdout
        again = fleet.command("restore", str(file), **fleet.settings)
        assert again.returncode == 2, "existing data is not overwritten"
        started(fleet)
        with Client(fleet.url, token) as client:  # tokens from before the move are valid
            whole, working = client.job("whole"), client.job("working")
            assert [job.name for job in client.jobs()] == ["working", "again", "whole"]
            assert weights_of(whole) == model
            assert list(whole.logs()) == lines
            assert ended(working).status == "succeeded", working.data
            assert broken_invariants(working, model) == []
            first, second = working.attempts()
            assert (first["reason"], second["reason"]) == ("worker_lost", "completed")
            assert second["restored_step"]
            with pytest.raises(IdempotencyKeyReused):
                client.submit({"command": ["false"]}, idempotency_key="used-once")


def test_a_worker_of_before_the_restore_comes_back_as_a_new_one(tmp_path: Path) -> None:
    """Given a worker whose server is replaced by a restored one, at its next call it ends its ranks and registers."""
    with Fleet(tmp_path, heartbeat_seconds=0.7, lease_seconds=3) as fleet:
        started(fleet)
        job = fleet.script(SOURCE, world_size=2, variables={"STEPS": "1000"})
        wait_until(lambda: has_checkpoint(job), "a checkpoint")
        assert fleet.command("backup", str(tmp_path / "backup.zip")).returncode == 0
        fleet.kill("server")
        shutil.rmtree(fleet.home)
        restored = fleet.command("restore", str(tmp_path / "backup.zip"))
        assert restored.returncode == 0, restored.stderr
        fleet.start_server()
        assert ended(job).status == "succeeded", job.data
        assert [one["reason"] for one in job.attempts()] == ["worker_lost", "completed"]


def test_a_damaged_backup_is_refused_and_changes_nothing(tmp_path: Path, fleet: Fleet) -> None:
    fleet.start_server()
    with fleet.client() as client:
        client.submit({"command": ["true"], "world_size": 64})
    file, home = tmp_path / "backup.zip", tmp_path / "empty"
    assert fleet.command("backup", str(file)).returncode == 0
    assert fleet.command("backup", str(file)).returncode == 2, "an older backup is not overwritten"
    assert file.stat().st_mode & 0o077 == 0
    assert fleet.command("restore", str(file), "--check").returncode == 0
    content = file.read_bytes()
    with ZipFile(file) as archive:
        inside = archive.getinfo("records/00000000").header_offset + 80  # after the header: in the compressed bytes
    flipped = content[:inside] + bytes([content[inside] ^ 1]) + content[inside + 1 :]
    for damaged in (content[:-200], flipped, b"nonsense", b""):
        file.write_bytes(damaged)
        for options in (("--check",), ("--home", str(home))):
            ran = fleet.command("restore", str(file), *options)
            assert ran.returncode == 1, ran.stdout
            assert "backup.zip" in ran.stderr
            assert "Traceback" not in ran.stderr
    assert not home.exists()


def test_missing_objects_are_named_and_the_rest_is_backed_up(tmp_path: Path, fleet: Fleet) -> None:
    started(fleet)
    job = ended(fleet.script("open('a.txt', 'w').write('a'); open('b.txt', 'w').write('b')", outputs=["*.txt"]))
    stored = {one["name"]: fleet.home / "objects" / one["object_id"] for one in job.data["artifacts"]}
    stored["a.txt"].unlink()
    stored["b.txt"].write_text("other")
    saved = fleet.command("backup", str(tmp_path / "backup.zip"))
    assert saved.returncode == 1
    assert saved.stderr.count("is missing or damaged in the store") == 2
    assert fleet.command("restore", str(tmp_path / "backup.zip"), "--home", str(tmp_path / "new")).returncode == 0
