"""Anything that may be in place of a rank's file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from headway.rank_protocol.paths import log_file, run_file
from tests.no_root import without_root
from tests.unit.worker.rank_reading import files_of


@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "device", "unreadable"])
@pytest.mark.parametrize("place", [log_file, run_file])
def test_a_ranks_file_that_became_something_else_stops_nothing(tmp_path: Path, place: Any, kind: str) -> None:
    """Given a log or run file that is no longer a file, when it is read, nothing blocks, and there is one notice."""
    replace(place(tmp_path, 0), kind)
    other = run_file if place is log_file else log_file
    text = "printed\n" if other is log_file else '{"step": 2, "at": 1, "values": {"loss": 0.5}}\n'
    other(tmp_path, 0).write_text(text)
    files = files_of(tmp_path)
    other(tmp_path, 0).chmod(0o644)
    began = time.monotonic()
    with without_root(tmp_path):
        first = files.harvest({}, final=True)
        second = files.harvest(first.offsets, final=True)
        assert files.tail(0, 5) in ((), ("printed",))
    assert time.monotonic() - began < 5
    told = [line.text for line in [*first.lines, *second.lines] if "cannot be read" in line.text]
    assert len(told) == 1
    assert place(tmp_path, 0).name in told[0]
    assert first.series or "printed" in [line.text for line in first.lines]


def replace(path: Path, kind: str) -> None:
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to("/etc/passwd")
        case "device":
            path.symlink_to("/dev/zero")
        case "unreadable":
            path.touch(mode=0)


def test_files_that_are_gone_are_empty(tmp_path: Path) -> None:
    files = files_of(tmp_path / "gone")
    files.read_events({"work": tmp_path / "gone" / "work"})
    assert not files.grown({})
    assert files.harvest({}, final=True).empty
