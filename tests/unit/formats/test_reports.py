"""Reports are decoded as they were encoded. Broken ones are errors."""

from __future__ import annotations

from array import array
from dataclasses import replace

import msgpack
import pytest
import zstandard

from headway.core.facts import CheckpointPartStored, RankFinished
from headway.errors import Corrupt
from headway.formats.metrics import Selection, Series, decode_metrics, encode_metrics, select_metrics
from headway.formats.reports import (
    LogLine,
    Report,
    decode_logs,
    decode_report,
    encode_logs,
    encode_report,
    log_entries,
    merge_reports,
    metric_entries,
    report_worker,
)


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


def test_a_reports_sender_is_read_from_its_first_bytes() -> None:
    """Given ids of the largest length, and a body whose rest is missing."""
    body = encode_report(replace(a_report(1, "a" * 1000), job="ü" * 40, attempt=2**31 - 1, worker="ö" * 40))
    assert report_worker(body[:512]) == "ö" * 40


@pytest.mark.parametrize("worker", [5, ["w"], None, "w" * 1000])
def test_a_report_of_no_worker_is_corrupt(worker: object) -> None:
    good = msgpack.unpackb(encode_report(a_report(1, "a")))
    for body in (msgpack.packb([*good[:3], worker, *good[4:]]), msgpack.packb(good[:9]), b"nonsense", b"", b"\xc1"):
        with pytest.raises(Corrupt):
            report_worker(body)


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
    assert select_metrics([report.metrics], Selection()) == []
    assert [one.name for one in decode_metrics([one_point()])] == ["loss"]


def test_a_section_that_claims_to_be_huge_is_refused() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(100 << 20))
    with pytest.raises(Corrupt):
        decode_logs(bomb)
