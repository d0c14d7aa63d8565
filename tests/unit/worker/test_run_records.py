"""A rank's records are limited: its worker drops the rest with a line in the log."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.core.facts import ResultStored
from headway.core.protocol import AssignmentKey
from headway.formats.metric_patterns import MetricPatterns
from headway.rank_protocol.paths import log_file, run_file
from headway.rank_protocol.record_bounds import MAXIMUM_RECORD_BYTES, clean_text
from headway.worker.counters import WorkerCounters
from headway.worker.fact_queue import FactQueue
from headway.worker.harvest import MAXIMUM_SERIES, KnownSeries
from headway.worker.outbox import Outbox
from headway.worker.rank_files import RankFiles
from headway.worker.reporter import Reporter
from headway.worker.resource_samples import ResourceSamples
from headway.worker.spool import SpooledStream
from tests.unit.worker.rank_reading import files_of, read_all, said

BY_HAND = [
    json.dumps({"type": "result_stored", "result": {"all": [0.5] * 300_000}}),
    '{"step": 1180591620717411303424, "at": 1, "values": {"loss": 1}}',
    '{"step": 1e300, "at": 1, "values": {"loss": 1}}',
    '{"step": Infinity, "at": 1, "values": {"loss": 1}}',
    '{"step": 1, "at": NaN, "values": {"loss": 1}}',
    '{"step": 1, "at": 1e300, "values": {"loss": 1}}',
    '{"step": 1, "at": 1, "values": {"loss": 1' + "0" * 400 + "}}",
    '{"step": 1, "at": 1, "values": {"' + "x" * 300 + '": 1}}',
    '{"step": 1, "at": 1, "values": [1]}',
    '{"type": "result_stored", "result": ' + "[" * 200_000 + "]" * 50 + "}",
    '{"type": "result_stored", "result": ' + '{"a":' * 100 + "1" + "}" * 100 + "}",
    '{"type": "result_stored", "result": {"n": ' + "9" * 5_000 + "}}",
    '{"type": "result_stored", "result": {"n": -9223372036854775809}}',
    '{"type": "result_stored", "result": "text"}',
    '{"type": "stage_reached", "stage": "' + "x" * 50 + '", "at": 1}',
    '{"type": "stage_reached", "stage": "trained", "at": Infinity}',
    '{"type": "checkpoint_saved", "step": -1, "at": 1, "kind": "state", "replica": false}',
    '{"type": "checkpoint_saved", "step": 1, "at": 1, "kind": "other", "replica": false}',
    '{"type": "rank_ended", "rank": 0, "at": 1, "exit_code": 0, "finished": true}',
    '{"type": "released"}',
    '{"type": "rank_finished"}',
    '{"type": "rank_finished", "rank": 0, "colour": "red"}',
    '{"type": {"a": 1}}',
    '{"type": ["released"]}',
    '"text"',
    "[1, 2]",
    "null",
    "{" * 100_000,
    "\x00\x01",
    "",
]


@pytest.mark.parametrize("record", BY_HAND, ids=lambda record: f"{record[:40]}-{len(record)}")
def test_an_invalid_record_is_dropped_and_the_next_counts(tmp_path: Path, record: str) -> None:
    """Given an invalid record, when the worker reads it, then it says so and continues with the next."""
    run_file(tmp_path, 0).write_text(f'{record}\n{{"step": 2, "at": 1, "values": {{"loss": 0.5}}}}\n')
    harvests = list(read_all(files_of(tmp_path)))
    (line,) = said(harvests)
    assert line.startswith("headway: unreadable run record dropped: ")
    assert len(line) < 700
    (series,) = [one for harvest in harvests for one in harvest.series.values()]
    assert list(series.steps) == [2]
    assert [fact for harvest in harvests for fact in harvest.facts] == []


@pytest.mark.parametrize("size_bytes", [MAXIMUM_RECORD_BYTES, 1 << 20, (1 << 20) + 1, 5 << 20])
def test_an_endless_record_is_skipped_once_it_ends(tmp_path: Path, size_bytes: int) -> None:
    """Also when a restarted worker continues in the middle of it."""
    path = run_file(tmp_path, 0)
    path.write_bytes(b'{"step": 1, "at": 1, "values": {"loss": 0.5}}\n' + b"x" * size_bytes)
    before = list(read_all(files_of(tmp_path)))
    with path.open("ab") as file:
        file.write(b'x"}\n{"step": 2, "at": 1, "values": {"loss": 0.25}}\n')
    after = list(read_all(files_of(tmp_path), before[-1].offsets))
    steps = [step for harvest in before + after for one in harvest.series.values() for step in one.steps]
    assert steps == [1, 2]
    assert len(said(before + after)) == 1


@pytest.mark.anyio
async def test_a_reporter_does_not_spin_on_a_skipped_record(tmp_path: Path) -> None:
    """Given a record that is skipped, when it is read in pieces, then each piece is read once."""
    run_file(tmp_path, 0).write_bytes(b"x" * (3 << 20))
    stream = SpooledStream(tmp_path / "spool", AssignmentKey(job="j", attempt=1, worker="w"))
    outbox = Outbox(lambda: None, WorkerCounters())
    samples = ResourceSamples(every_seconds=60.0, devices={})
    reporter = Reporter(stream, files_of(tmp_path), outbox, FactQueue(), samples=samples, memory_bytes=None)
    async with asyncio.timeout(10):
        await reporter.report_new({})
    assert stream.offsets["0"][1] == 3 << 20


def test_a_rank_that_keeps_repeating_itself_does_not_fill_log_or_job(tmp_path: Path) -> None:
    """Each kind of record, thousands of times: new information is kept, the rest is counted."""
    with run_file(tmp_path, 0).open("w") as file:
        for number in range(3_000):
            result = {"type": "result_stored", "result": {"n": number}}
            stage = {"type": "stage_reached", "stage": f"stage-{number}", "at": 1, "total_steps": None}
            saved = {"type": "checkpoint_not_saved", "step": number, "rank": 5, "error": "full"}
            for record in (result, stage, saved, {"type": "nonsense"}, {"type": "rank_finished", "rank": 3}):
                file.write(json.dumps(record) + "\n")
    harvests = list(read_all(files_of(tmp_path)))
    facts = [fact for harvest in harvests for fact in harvest.facts]
    assert len(facts) < 2_500
    assert [fact.result for fact in facts if isinstance(fact, ResultStored)][-1] == {"n": 2999}
    assert {getattr(fact, "rank", 0) for fact in facts} == {0}
    assert len(said(harvests)) <= 10 + len(harvests)
    assert "more unreadable run records dropped" in said(harvests)[-1]


def test_a_metric_per_step_is_cut_off(tmp_path: Path) -> None:
    with run_file(tmp_path, 0).open("w") as file:
        for number in range(MAXIMUM_SERIES + 50):
            file.write(json.dumps({"step": number, "at": 1, "values": {f"loss-{number}": 1.0}}) + "\n")
    files = files_of(tmp_path)
    harvests = list(read_all(files))
    assert sum(len(harvest.series) for harvest in harvests) == MAXIMUM_SERIES
    assert said(harvests) == [
        "headway: the rank has 5,000 metrics already; 'loss-5000' and 49 more names are dropped. Give fewer names."
    ]
    assert files.warnings == [
        "Rank 0 logged more than 5,000 metrics: 'loss-5000' and 49 more names are not kept. Give fewer names."
    ]


def test_dropped_metrics_are_named_again_when_they_grow_tenfold(tmp_path: Path) -> None:
    """Given a script with endless new names, when the worker keeps reading, then the log has a few lines about it."""
    known = KnownSeries()
    for rank in (0, 1):
        for number in range(MAXIMUM_SERIES):
            assert known.admit(f"m{number}", rank)
    lines = []
    for number in range(30_000):
        assert not known.admit(f"new-{number}", 0)
        assert not known.admit("new", 1)
        lines += known.news(1.0)
    assert [line.text.partition("; ")[2] for line in lines if line.rank == 0] == [
        "'new-0' is dropped. Give fewer names.",
        "'new-0' and 9 more names are dropped. Give fewer names.",
        "'new-0' and 99 more names are dropped. Give fewer names.",
        "'new-0' and 999 more names are dropped. Give fewer names.",
        "'new-0' and 9,999 more names are dropped. Give fewer names.",
    ]
    assert len(lines) == 6
    assert known.warnings == [
        "Rank 0 logged more than 5,000 metrics, and so did 1 more rank: 'new-0' and at least 19,999 more names are not "
        "kept. Give fewer names."
    ]


def test_a_metric_name_with_a_line_end_stays_on_one_line(tmp_path: Path) -> None:
    values = {"a\nb": 1.0, "c\r\x1b[2K\td": 2.0, "größe \u2713": 3.0}
    run_file(tmp_path, 0).write_text(json.dumps({"step": 1, "at": 1, "values": values}) + "\n")
    names = [name for harvest in read_all(files_of(tmp_path)) for name, _ in harvest.series]
    assert names == [r"a\nb", r"c\r\x1b[2K\td", "größe \u2713"]


def test_known_metrics_are_kept_beside_one_that_is_too_many(tmp_path: Path) -> None:
    """Given a rank with the most metrics allowed, when it logs a new one first, then the others count."""
    with run_file(tmp_path, 0).open("w") as file:
        for number in range(MAXIMUM_SERIES):
            file.write(json.dumps({"step": 1, "at": 1, "values": {f"loss-{number}": 1.0}}) + "\n")
        file.write(json.dumps({"step": 2, "at": 1, "values": {"new": 1.0, "loss-0": 0.5}}) + "\n")
    harvests = list(read_all(files_of(tmp_path)))
    assert [step for harvest in harvests for step in harvest.series["loss-0", 0].steps] == [1, 2]


def test_an_exception_whose_text_cannot_be_encoded_is_reported(tmp_path: Path) -> None:
    """Such as the error of `open` for a file whose name is not UTF-8."""
    record = {
        "type": "rank_error",
        "error": "No such file: '\udce9'",
        "traceback": "x\0" * 10_000,
        "secondary": {"odd": 1},
    }
    run_file(tmp_path, 0).write_text(json.dumps(record) + "\n")
    (harvest,) = read_all(files_of(tmp_path))
    error = harvest.errors[0]
    assert error.error == "No such file: '\\xe9'"
    assert error.traceback is not None
    assert len(error.traceback) <= 40_000
    assert error.secondary is True


def test_many_ranks_with_much_output_share_reports(tmp_path: Path) -> None:
    """No report exceeds a broker's limit, and each rank gets its turn."""
    ranks = range(20)
    for rank in ranks:
        log_file(tmp_path, rank).write_bytes((b"x" * 1023 + b"\n") * 2_048)
    files = RankFiles(tmp_path, ranks, maximum_log_bytes=64 << 20)
    lines: dict[int, int] = {}
    for harvest in read_all(files):
        assert sum(len(line.text) for line in harvest.lines) <= 8 << 20
        for line in harvest.lines:
            lines[line.rank] = lines.get(line.rank, 0) + 1
    assert lines == dict.fromkeys(ranks, 2_048)


def test_a_step_in_a_line_may_be_any_number(tmp_path: Path) -> None:
    patterns = MetricPatterns({"loss": r"step (?P<step>\S+) loss (?P<value>\S+)"})
    log_file(tmp_path, 0).write_text("step 1e300 loss 1\nstep nan loss 2\nstep 3 loss 0.5\nstep -4 loss inf\n")
    (harvest,) = read_all(files_of(tmp_path, patterns=patterns))
    assert list(harvest.series["loss", 0].steps) == [2, 3, -4]


@given(st.text())
def test_clean_text_can_always_be_encoded(text: str) -> None:
    cleaned = clean_text(text + "\ud800\udce9\0")
    assert "\0" not in cleaned
    assert cleaned.encode().decode() == cleaned
    assert clean_text(cleaned) == cleaned


@given(st.binary(max_size=200))
def test_any_content_of_a_run_file_is_read(content: bytes) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        run_file(Path(folder), 0).write_bytes(content + b"\n")
        harvests = list(read_all(files_of(Path(folder))))
        stream = SpooledStream(Path(folder) / "spool", AssignmentKey(job="j", attempt=1, worker="w"))
        stream.add(stream.write(tuple(harvests[0].facts), harvests[0].lines, list(harvests[0].series.values()), {}))
