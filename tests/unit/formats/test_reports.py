"""Reports, blocks and the worker's files: what goes in comes out."""

from __future__ import annotations

import json
from array import array
from dataclasses import replace
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zstandard

from headway.core.dataset import Split
from headway.core.facts import CheckpointPartStored, RankFinished
from headway.errors import Corrupt
from headway.formats import blocks
from headway.formats.reports import (
    MAXIMUM_REPORT_LINES,
    LogLine,
    Report,
    Series,
    decode_logs,
    decode_metrics,
    decode_report,
    encode_logs,
    encode_metrics,
    encode_report,
    log_entries,
    merge_reports,
    metric_entries,
    readable_metrics,
)
from headway.rank_protocol.paths import log_file, run_file
from headway.worker.rank_files import MAXIMUM_LINE_BYTES, RankFiles


def a_report(number: int, *texts: str) -> Report:
    lines = [LogLine(0, float(number), text) for text in texts]
    series = [Series("loss", 0, array("q", [number]), array("d", [1.0]), array("d", [number / 2]))]
    logs, metrics = encode_logs(number, lines), encode_metrics(number, series)
    return Report("j-1", 1, "w-1", number, number, facts=(RankFinished(rank=0),), logs=logs, metrics=metrics)


def test_a_report_survives_the_wire() -> None:
    report = a_report(3, "hällo", "")
    assert decode_report(encode_report(report)) == report
    assert [line.text for line in decode_logs(report.logs)] == ["hällo", ""]


@pytest.mark.parametrize("body", [b"", b"\x00", b"not a report", encode_report(a_report(1))[:-9]])
def test_a_broken_report_is_told_apart(body: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_report(body)


FIELDS = {
    "job": [5, None, "", "j" * 41, "j\0"], "attempt": ["1", 1.0, 0, -1, 2**31, True], "worker": [5, ["w"], ""],
    "number": ["1", 1.5, 0, 2**40], "last": [1, "yes", None], "logs": ["text", None, []], "metrics": ["text", 1],
    "facts": [
        5, {"type": "released"}, [5], [{"type": "released", "more": 1}],
        [{"type": "rank_started", "rank": "x", "pid": 1}],
        [{"type": "rank_ended", "rank": 0, "at": float("nan")}], [{"type": "nonsense"}], [None],
        [{"type": "result_stored", "result": {"a": b"\xff"}}], [{"type": "result_stored", "result": {1: 2}}],
        [{"type": "stage_reached", "stage": 5, "at": 1.0}],
    ],
    "offsets": [5, {"a": 1}, {"a": ["x"]}, {1: [1]}],
}  # fmt: skip
WIRE = ("version", "job", "attempt", "worker", "number", "last", "facts", "logs", "metrics", "offsets")


@pytest.mark.parametrize("field", FIELDS)
def test_a_report_with_a_field_of_another_type_is_corrupt(field: str) -> None:
    good = msgpack.unpackb(encode_report(a_report(1, "a")))
    for value in FIELDS[field]:
        wrong = [value if name == field else one for name, one in zip(WIRE, good, strict=True)]
        with pytest.raises(Corrupt):
            decode_report(msgpack.packb(wrong))
    assert decode_report(msgpack.packb(good)) == a_report(1, "a")


def test_figures_of_a_checkpoint_that_are_not_finite_survive_a_report() -> None:
    fact = CheckpointPartStored(step=1, rank=0, metrics={"loss": float("-inf")})
    assert decode_report(encode_report(replace(a_report(1), facts=(fact,)))).facts == (fact,)


def test_a_chunk_can_be_read_from_any_number_on() -> None:
    chunk = merge_reports([a_report(1, "a"), a_report(2, "b", "c"), a_report(3, "d")])
    assert (chunk.number, chunk.through, chunk.facts) == (1, 3, ())
    for after, texts in ((0, "abcd"), (1, "bcd"), (2, "d"), (3, "")):
        assert "".join(line.text for _, lines in log_entries(chunk, after) for line in lines) == texts
    assert [(number, list(one.steps)) for number, (one,) in metric_entries(chunk, 1)] == [(2, [2]), (3, [3])]
    (series,) = decode_metrics([chunk.metrics])
    assert list(series.steps) == [1, 2, 3]
    again = merge_reports([chunk, a_report(4, "e")])
    assert "".join(line.text for _, lines in log_entries(again, 2) for line in lines) == "de"


def section(entries: list[object]) -> bytes:
    return zstandard.compress(msgpack.packb(entries))


def one_line(at: float = 1.0, text: object = "a", number: object = 1) -> bytes:
    return section([[number, [array("i", [0]).tobytes(), array("d", [at]).tobytes(), [text]]]])


def one_point(name: object = "loss", rank: object = 0, at: float = 1.0) -> bytes:
    columns = array("q", [1]).tobytes(), array("d", [at]).tobytes(), array("d", [0.5]).tobytes()
    return section([[1, [[name, rank, *columns]]]])


BAD_LOGS = {
    "infinite time": one_line(at=float("inf")), "no time": one_line(at=float("nan")), "late": one_line(at=1e300),
    "negative time": one_line(at=-1.0), "number": one_line(text=5), "null": one_line(text=None),
    "bytes": one_line(text=b"a"), "list": one_line(text=[]), "another report": one_line(number=2),
    "number is text": one_line(number="1"), "number is true": one_line(number=True),
    "twice": section([[1, [b"", b"", []]]] * 2), "cut off": one_line()[:-6],
    "a long line": one_line(text="x" * (300 << 10)),
    "2,000,000 lines": section([[1, [bytes(8_000_000), bytes(16_000_000), [""] * 2_000_000]]]),
}  # fmt: skip
BAD_METRICS = {
    "name is bytes": one_point(name=b"loss"), "name is a number": one_point(name=5),
    "rank is text": one_point(rank="x"), "no rank": one_point(rank=None), "rank is true": one_point(rank=True),
    "infinite time": one_point(at=float("inf")), "no time": one_point(at=float("nan")),
    "points": section([[1, [["loss", 0, *[bytes(8 * ((1 << 21) + 1))] * 3]]]]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_LOGS)
def test_lines_of_another_form_are_told_apart(name: str) -> None:
    report = replace(a_report(1), logs=BAD_LOGS[name])
    with pytest.raises(Corrupt):
        list(log_entries(report))
    with pytest.raises(Corrupt):
        merge_reports([report, a_report(2, "b")])


@pytest.mark.parametrize("name", BAD_METRICS)
def test_series_of_another_form_are_told_apart(name: str) -> None:
    report = replace(a_report(1), metrics=BAD_METRICS[name])
    with pytest.raises(Corrupt):
        list(metric_entries(report))
    with pytest.raises(Corrupt):
        merge_reports([report, a_report(2, "b")])
    assert readable_metrics([report.metrics]) == []
    assert [one.name for one in decode_metrics([one_point()])] == ["loss"]


@pytest.mark.parametrize("ranks", [1, 4])
def test_empty_lines_come_in_reports_that_a_server_takes(tmp_path: Path, ranks: int) -> None:
    """Given 60,000 empty lines of each rank, none is lost and no report has more lines than may be in one."""
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


def test_a_section_that_claims_to_be_huge_is_refused() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(100 << 20))
    with pytest.raises(Corrupt):
        decode_logs(bomb)


def test_blocks_give_back_the_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 100)
    arrays = {"input": np.arange(7 * 12, dtype=np.uint8).reshape(7, 3, 4), "label": np.arange(7, dtype=np.int64)}
    cut = list(blocks.cut(arrays))
    assert len(cut) > 1
    split = Split(sample_count=7, arrays=blocks.describe_arrays(arrays), blocks=tuple(block for block, _ in cut))
    parts = [blocks.unpack(split, block, content) for block, content in cut]
    for name, array_ in arrays.items():
        assert b"".join(part[name] for part in parts) == array_.tobytes()


def test_a_changed_block_is_refused() -> None:
    ((block, content),) = blocks.cut({"label": np.zeros(4, dtype=np.uint8)})
    with pytest.raises(Corrupt, match="does not match its hash"):
        blocks.verify(block, content[:-1] + b"x")


def test_tailing_reads_whole_lines_and_what_a_progress_bar_showed_last(tmp_path: Path) -> None:
    files = RankFiles(tmp_path, [0], maximum_log_bytes=1 << 20)
    log_file(tmp_path, 0).write_bytes(b"one\n10%\r50%\r100%\nbad \xff\n\nhal")
    harvest = files.harvest({})
    assert [line.text for line in harvest.lines] == ["one", "100%", "bad \ufffd", ""]
    with log_file(tmp_path, 0).open("ab") as file:
        file.write(b"f")
    last = files.harvest(harvest.offsets, final=True)
    assert [line.text for line in last.lines] == ["half"]


def test_lines_behind_a_checkpoint_are_later_than_it(tmp_path: Path) -> None:
    """Given a save that takes long to write, what was printed meanwhile is behind it, and what was before is not."""
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


def test_run_records_become_series_and_facts_and_nonsense_is_said(tmp_path: Path) -> None:
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
    assert harvest.facts == [RankFinished(rank=0)], "a rank tells of itself only, and what is the worker's to tell"
    assert len(harvest.lines) == 3
    assert all("unreadable run record dropped" in line.text for line in harvest.lines)
