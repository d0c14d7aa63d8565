"""Files of any kind that attempts left in a worker's home."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headway.core.facts import Released
from headway.worker.attempt_files import attempt_folder, finish_stream, remove_attempt
from headway.worker.counters import WorkerCounters
from headway.worker.spool import SpooledStream, leftover_streams, stream_folder
from headway.worker.survivors import end_survivors
from tests.unit.worker.fake_attempt import KEY, reports

pytestmark = pytest.mark.anyio


# The next start


def test_a_worker_starts_with_any_files_in_its_home(tmp_path: Path) -> None:
    (tmp_path / "spool" / "odd").mkdir(parents=True)
    (tmp_path / "spool" / "a.b.c").mkdir()
    (tmp_path / "spool" / "file.1.w").write_text("")
    stream = SpooledStream(stream_folder(tmp_path, KEY), KEY)
    stream.add(stream.write((), [], [], {}))
    folder = attempt_folder(tmp_path, KEY)
    folder.mkdir(parents=True)
    (folder / "rank-x.log").write_text("")
    (folder / "rank-0.log").write_text("printed\n")
    os.mkfifo(folder / "rank-1.log")
    for content in ("no json", "[1, 2]", '{"a": "b"}', '{"99999999999999999999": 1}'):
        other = tmp_path / "attempts" / f"other-{len(content)}"
        other.mkdir()
        (other / "processes.json").write_text(content)
    end_survivors(tmp_path)
    (found,) = leftover_streams(tmp_path)
    finish_stream(tmp_path, found, WorkerCounters())
    assert found.ended
    assert reports(stream_folder(tmp_path, KEY))[-1].facts == (Released(),)


def test_files_without_permissions_are_deleted_with_their_attempt(tmp_path: Path) -> None:
    inner = attempt_folder(tmp_path, KEY) / "output" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    inner.chmod(0)
    inner.parent.chmod(0)
    remove_attempt(tmp_path, KEY)
    assert not attempt_folder(tmp_path, KEY).exists()
