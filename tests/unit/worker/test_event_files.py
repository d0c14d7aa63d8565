"""TensorBoard's event files with any content, anywhere."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

from headway.core.protocol import AssignmentKey
from headway.formats.reports import decode_report
from headway.rank_protocol.paths import run_file
from headway.worker.harvest import MAXIMUM_SERIES
from headway.worker.spool import SpooledStream
from tests.unit.worker.rank_reading import files_of, read_all, said
from tests.unit.worker.test_regular_files import replace


def test_an_event_file_with_too_many_metrics_is_read_further(tmp_path: Path) -> None:
    """Given a rank with the most metrics allowed, then a new scalar is dropped with one notice, and others count."""
    with run_file(tmp_path, 0).open("w") as file:
        for number in range(MAXIMUM_SERIES - 1):
            file.write(json.dumps({"step": 1, "at": 1, "values": {f"m{number}": 1.0}}) + "\n")
    folder = tmp_path / "work"
    folder.mkdir()
    files = files_of(tmp_path)
    files.read_events({"work": folder})
    new = event(2, 0.5).replace(b"loss", b"more")
    (folder / "events.out.tfevents.1.host.1.0").write_bytes(event(1, 0.5) + new + new + event(3, 0.25))
    harvests = list(read_all(files))
    assert [step for harvest in harvests for step in harvest.series["loss", 0].steps] == [1, 3]
    assert said(harvests) == ["headway: the rank has 5,000 metrics already; 'more' is dropped. Give fewer names."]


def event(step: int, value: float, *, padding: int = 0) -> bytes:
    """A TFRecord of an Event with one scalar."""
    tagged = b"\x0a\x04loss\x15" + struct.pack("<f", value)
    summary = b"\x0a" + bytes([len(tagged)]) + tagged
    content = b"\x09" + struct.pack("<d", 5.0) + b"\x10" + varint(step) + b"\x2a" + bytes([len(summary)]) + summary
    content += b"\x32" + varint(padding) + b"x" * padding if padding else b""
    return struct.pack("<Q", len(content)) + b"crc1" + content + b"crc2"


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    encoded = b""
    while value >= 0x80:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def test_scalars_after_a_large_image_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    path = folder / "events.out.tfevents.1.host.1.0"
    files = files_of(tmp_path)
    files.read_events({"work": folder})
    path.write_bytes(event(1, 0.5) + event(2, 0.5, padding=3 << 20) + event(3, 0.25))
    harvests = list(read_all(files))
    steps = [step for harvest in harvests for one in harvest.series.values() for step in one.steps]
    assert steps == [1, 3]


def test_steps_of_event_files_may_be_odd(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    files = files_of(tmp_path)
    files.read_events({"work": folder})
    (folder / "events.out.tfevents.1.host.1.0").write_bytes(event(-1, 0.5) + event(1 << 62, 0.5) + event(3, 0.25))
    (folder / "events.out.tfevents.1.host.1.1").write_bytes(struct.pack("<Q", 40) + b"crc1" + b"\x80" * 40 + b"crc2")
    harvests = list(read_all(files))
    assert [list(one.steps) for harvest in harvests for one in harvest.series.values()] == [[-1]]
    assert sum("is damaged and is not read further" in text for text in said(harvests)) == 2


def test_event_files_anywhere_and_of_any_kind(tmp_path: Path) -> None:
    """Below a folder whose name is not UTF-8; and a FIFO, a folder and a link with names of event files."""
    folder = tmp_path / "work"
    inner = os.path.join(os.fsencode(folder), b"run-\xe9")
    os.makedirs(inner)
    files = files_of(tmp_path)
    files.read_events({"work": folder})
    with open(os.path.join(inner, b"events.out.tfevents.1.host.1.0"), "wb") as file:
        file.write(event(4, 0.5))
    for kind in ("fifo", "folder", "link", "device"):
        replace(folder / f"events.out.tfevents.1.{kind}.1.0", kind)
    assert files.grown({})
    harvests = list(read_all(files))
    assert [list(one.steps) for harvest in harvests for one in harvest.series.values()] == [[4]]
    key = AssignmentKey(job="j", attempt=1, worker="w")
    stream = SpooledStream(tmp_path / "spool", key)
    stream.add(stream.write((), harvests[0].lines, list(harvests[0].series.values()), harvests[0].offsets))
    assert "events:work/run-%E9/events.out.tfevents.1.host.1.0" in decode_report(stream.read(1)).offsets


def test_thousands_of_event_files_are_limited_with_a_notice(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    files = files_of(tmp_path)
    files.read_events({"work": folder})
    for number in range(1_100):
        (folder / f"events.out.tfevents.1.host.1.{number}").write_bytes(event(number, 0.5))
    harvests = list(read_all(files))
    assert len([key for key in harvests[-1].offsets if key.startswith("events:")]) == 1_000
    assert [text for text in said(harvests) if "more than 1,000 event files" in text]
