"""Reports on the worker's disk: a restart loses none, and committed ones are deleted."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from headway.core.facts import Released, WorkerFailed
from headway.core.protocol import AssignmentKey
from headway.formats.reports import LogLine, decode_logs, decode_report
from headway.worker import spool as spool_module
from headway.worker.spool import SpooledStream, leftover_streams, stream_folder

KEY = AssignmentKey(job="j-1", attempt=1, worker="w-1")


def test_a_spool_continues_where_the_former_start_stopped(tmp_path: Path) -> None:
    stream = SpooledStream(stream_folder(tmp_path, KEY), KEY)
    for number in range(1, 4):
        stream.add(stream.write((), [LogLine(0, 0.0, str(number))], [], {"0": [number, 0]}))
    stream.cut(3)  # all committed, but the newest stays: it has the offsets into the files
    (found,) = leftover_streams(tmp_path)
    assert (found.key, found.number, found.offsets, found.ended) == (KEY, 3, {"0": [3, 0]}, False)
    found.add(found.write((), [], [], {}, last=True))
    assert decode_report(found.read(4)).last


def test_a_report_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    stream = SpooledStream(stream_folder(tmp_path, KEY), KEY)
    stream.add(stream.write((), [LogLine(0, 0.0, "a")], [], {"0": [2, 0]}))
    stream.add(stream.write((), [LogLine(0, 0.0, "b")], [], {"0": [4, 0]}))
    newest = stream_folder(tmp_path, KEY) / "0000000002.report"
    newest.write_bytes(newest.read_bytes()[:-3])
    (found,) = leftover_streams(tmp_path)
    assert (found.number, found.offsets) == (1, {"0": [2, 0]})


def test_what_is_not_committed_is_sent_again(tmp_path: Path) -> None:
    stream = SpooledStream(stream_folder(tmp_path, KEY), KEY)
    for _ in range(3):
        stream.add(stream.write((), [], [], {}))
    stream.unsent.clear()
    stream.unacknowledged = {1: 10, 2: 10, 3: 10}
    stream.cut(1)
    stream.resend(1)
    assert (stream.unsent, stream.unacknowledged) == ([2, 3], {})


def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given a full disk, when writing a report fails, then its number is free for the next try."""
    stream = SpooledStream(stream_folder(tmp_path, KEY), KEY)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            stream.add(stream.write((Released(),), [], [], {"0": [9, 0]}, last=True))
    assert (stream.number, stream.offsets, stream.ended, stream.unsent) == (0, {}, False, [])
    stream.add(stream.write((Released(),), [], [], {"0": [9, 0]}, last=True))
    assert (stream.number, stream.ended, stream.unsent) == (1, True, [1])


def test_a_report_too_large_for_brokers_keeps_its_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "MAXIMUM_REPORT_BYTES", 4096)
    stream = SpooledStream(stream_folder(tmp_path, KEY), KEY)
    lines = [LogLine(0, 0.0, Random(0).randbytes(8192).hex())]
    stream.add(stream.write((Released(),), lines, [], {}, last=True))
    body = stream.read(1)
    assert len(body) < 4096
    assert decode_report(body).facts == (Released(),)
    (line,) = decode_logs(decode_report(body).logs)
    assert "lines and metrics were dropped here" in line.text


def test_an_ended_stream_is_cut_completely(tmp_path: Path) -> None:
    stream = SpooledStream(stream_folder(tmp_path, KEY), KEY)
    stream.add(stream.write((), [], [], {}))
    stream.add(stream.write((Released(),), [], [], {}, last=True))
    stream.cut(2)
    assert not list(stream_folder(tmp_path, KEY).glob("*.report"))
    stream.remove()
    assert list(leftover_streams(tmp_path)) == []


def test_a_damaged_report_between_others_is_left_out_until_the_server_waits_for_it(tmp_path: Path) -> None:
    """Given one of three reports that a crash of the machine emptied, then it is replaced by a report that says so."""
    stream = SpooledStream(stream_folder(tmp_path, KEY), KEY)
    for number in range(1, 4):
        stream.add(stream.write((), [], [], {"0": [number, 0]}))
    (stream_folder(tmp_path, KEY) / "0000000002.report").write_bytes(b"")
    (found,) = leftover_streams(tmp_path)
    assert (found.number, found.unsent) == (3, [1, 3])
    found.check(2)
    assert found.unsent == [1, 2, 3]
    assert [type(fact) for fact in decode_report(found.read(2)).facts] == [WorkerFailed]
    assert found.offsets == {"0": [3, 0]}


def test_committed_reports_are_not_replaced(tmp_path: Path) -> None:
    """Given a restarted server that names a smaller committed number than before, then nothing is replaced."""
    stream = SpooledStream(stream_folder(tmp_path, KEY), KEY)
    for _ in range(3):
        stream.add(stream.write((), [], [], {}))
    stream.cut(2)
    for one in (stream, *leftover_streams(tmp_path)):
        for number in range(1, 6):
            one.check(number)
            one.replace(number, "could not be read") if number != 3 else None
    assert [path.name for path in stream_folder(tmp_path, KEY).iterdir()] == ["0000000003.report"]
    assert decode_report(stream.read(3)).facts == ()


def test_a_spool_is_loaded_with_any_files_in_it(tmp_path: Path) -> None:
    folder = stream_folder(tmp_path, KEY)
    SpooledStream(folder, KEY).write((), [], [], {})
    (folder / "0000000002.report").write_bytes((folder / "0000000001.report").read_bytes())
    (folder / "0000000003.report").mkdir()
    (folder / "9999999999.report").write_text("")
    (folder / "other.report").write_text("")
    (found,) = leftover_streams(tmp_path)
    assert (found.number, found.unsent) == (1, [1])
