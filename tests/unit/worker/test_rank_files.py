"""Tailing what ranks print and record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from headway.core.facts import RankFinished
from headway.formats.reports import (
    MAXIMUM_REPORT_LINES,
    encode_logs,
    log_entries,
)
from headway.rank_protocol.paths import log_file, run_file
from headway.worker.rank_files import MAXIMUM_LINE_BYTES, RankFiles
from tests.unit.formats.test_reports import a_report


@pytest.mark.parametrize("ranks", [1, 4])
def test_empty_lines_come_in_reports_that_a_server_takes(tmp_path: Path, ranks: int) -> None:
    """Given 60,000 empty lines of each rank, none is lost and no report exceeds the limit of lines."""
    for rank in range(ranks):
        log_file(tmp_path, rank).write_bytes(b"\n" * 60_000)
    files = RankFiles(tmp_path, range(ranks), maximum_log_bytes=1 << 30)
    offsets: dict[str, list[int]] = {}
    counts = []
    more = True
    while more:
        harvest = files.harvest(offsets, final=True)
        offsets, more = harvest.offsets, harvest.more
        counts.append(len(harvest.lines))
        report = replace(a_report(1), logs=encode_logs(1, harvest.lines))
        assert [len(lines) for _, lines in log_entries(report)] == [len(harvest.lines)][: len(harvest.lines)]
    assert sum(counts) == ranks * 60_000
    assert max(counts) <= MAXIMUM_REPORT_LINES // 2


def test_tailing_reads_whole_lines_and_the_last_state_of_a_progress_bar(tmp_path: Path) -> None:
    files = RankFiles(tmp_path, [0], maximum_log_bytes=1 << 20)
    log_file(tmp_path, 0).write_bytes(b"one\n10%\r50%\r100%\nbad \xff\n\nhal")
    harvest = files.harvest({})
    assert [line.text for line in harvest.lines] == ["one", "100%", "bad \ufffd", ""]
    with log_file(tmp_path, 0).open("ab") as file:
        file.write(b"f")
    last = files.harvest(harvest.offsets, final=True)
    assert [line.text for line in last.lines] == ["half"]


def test_lines_after_a_checkpoint_have_later_times(tmp_path: Path) -> None:
    """Given a save that takes long to write, lines printed meanwhile come after it, and lines printed before do not."""
    files = RankFiles(tmp_path, [0], maximum_log_bytes=1 << 20)
    log_file(tmp_path, 0).write_bytes(b"before\nmeanwhile\n")
    run_file(tmp_path, 0).write_text('{"type": "checkpoint_begun", "at": 50.0, "log_bytes": 7}\n')
    harvest = files.harvest({})
    before, meanwhile = harvest.lines
    assert before.at == 50.0 < meanwhile.at
    with run_file(tmp_path, 0).open("a") as file:
        file.write('{"type": "checkpoint_saved", "step": 3, "at": 50.0, "kind": "state", "replica": false}\n')
    assert [(one.step, one.saved_at) for one in files.harvest(harvest.offsets).saved] == [(3, 50.0)]


def test_a_line_without_end_is_cut(tmp_path: Path) -> None:
    log_file(tmp_path, 0).write_bytes(b"x" * (2 * MAXIMUM_LINE_BYTES + 5))
    files = RankFiles(tmp_path, [0], maximum_log_bytes=1 << 20)
    offsets: dict[str, list[int]] = {}
    lengths = []
    for final in (False, False, True):
        harvest = files.harvest(offsets, final=final)
        offsets = harvest.offsets
        lengths += [len(line.text) for line in harvest.lines]
    assert lengths == [MAXIMUM_LINE_BYTES, MAXIMUM_LINE_BYTES, 5]


def test_run_records_become_series_and_facts_and_invalid_ones_are_named(tmp_path: Path) -> None:
    records = [
        {"step": 1, "at": 2.0, "values": {"loss": 0.5, "accuracy": 1}},
        {"type": "rank_finished", "rank": 7},
        {"type": "rank_started", "rank": 0, "pid": 7},
        {"type": "nonsense"},
        {"step": "x", "at": 0, "values": {"loss": 1}},
    ]
    run_file(tmp_path, 0).write_text("".join(json.dumps(one) + "\n" for one in records) + '{"step": 2')
    harvest = RankFiles(tmp_path, [0], maximum_log_bytes=1 << 20).harvest({})
    assert [list(series.values) for series in harvest.series.values()] == [[0.5], [1.0]]
    assert harvest.facts == [RankFinished(rank=0)], "a rank may record facts about itself, and not the worker's facts"
    assert len(harvest.lines) == 3
    assert all("unreadable run record dropped" in line.text for line in harvest.lines)
