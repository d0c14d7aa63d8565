"""What a rank records is bounded: refused in the rank with the value's name, dropped by its worker with a word."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.core.facts import AsksToSave, LinksLeftOut, ResultStored
from headway.core.protocol import AssignmentKey
from headway.formats.metric_patterns import MetricPatterns
from headway.formats.reports import decode_report
from headway.rank_protocol.paths import log_file, run_file
from headway.rank_protocol.record_bounds import MAXIMUM_RECORD_BYTES, clean_text
from headway.training.run import Run
from headway.worker.fact_queue import FactQueue
from headway.worker.harvest import MAXIMUM_SERIES, Harvest, KnownSeries
from headway.worker.outbox import Outbox
from headway.worker.rank_files import RankFiles
from headway.worker.reporter import Reporter
from headway.worker.resource_samples import ResourceSamples
from headway.worker.spool import SpooledStream
from tests.no_root import without_root

NESTED: Any = []
for _ in range(100):
    NESTED = [NESTED]
ENDLESS: Any = []
for _ in range(100_000):
    ENDLESS = [ENDLESS]


def read_all(files: RankFiles, offsets: dict[str, list[int]] | None = None) -> Iterator[Harvest]:
    """Harvests until nothing is left, as a reporter takes them."""
    offsets = offsets or {}
    for _ in range(100):
        harvest = files.harvest(offsets, final=True)
        yield harvest
        if not harvest.more:
            return
        assert harvest.offsets != offsets, "it spins"
        offsets = harvest.offsets
    raise AssertionError("it never ends")


def said(harvests: list[Harvest]) -> list[str]:
    return [line.text for harvest in harvests for line in harvest.lines]


def files_of(folder: Path, **more: Any) -> RankFiles:
    return RankFiles(folder, [0], maximum_log_bytes=1 << 20, **more)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run({"HEADWAY_RUN_FILE": str(run_file(tmp_path, 0)), "HEADWAY_OUTPUT_DIRECTORY": str(tmp_path)})


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            {"accuracy": 1, "predictions": [0.123456789] * 100_000},
            r"1,300,000 of them in predictions; 262,144 are allowed",
        ),
        ({"tree": NESTED}, r"result.tree\[0\].* has more than 32 levels of dicts and lists"),
        ({"tree": ENDLESS}, "the result has more than 32 levels of dicts and lists"),
        ({"count": {"all": 2**70}}, "result.count.all is 1180591620717411303424: whole numbers have at most 64 bits"),
        ({"text": "x" * 300_000}, "of them in text"),
    ],
)
def test_a_result_that_cannot_be_stored_is_refused_by_name(run: Run, result: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run.finish(**result)
    assert run.record_file is not None
    assert not Path(run.record_file).exists()


def test_metrics_that_cannot_be_stored_are_refused_by_name(run: Run) -> None:
    with pytest.raises(ValueError, match=r"step is 1180591620717411303424: steps go up to 9,007,199,254,740,991"):
        run.log(2**70, loss=1.0)
    with pytest.raises(ValueError, match=r"step is a number of 40,001 bits"):
        run.log(2**40_000, loss=1.0)
    with pytest.raises(ValueError, match=r"step is -1: a checkpoint's step is 0 or more"):
        run.save({}, -1)
    with pytest.raises(ValueError, match="a metric's name has 300 characters"):
        run.log(1, **{"x" * 300: 1.0})
    with pytest.raises(ValueError, match=r"The record has .* bytes as JSON.*: log less at once"):
        run.log(1, **{f"{number:0200}": 1.0 for number in range(2_000)})
    run.log(-1, loss=float("nan"))


def test_a_result_with_names_that_are_not_utf8_is_readable(run: Run, tmp_path: Path) -> None:
    run.finish(files=[os.fsdecode(b"r\xe9sum\xe9.txt")], text="nul \0", odd={"\ud800": 1})
    (harvest,) = read_all(files_of(tmp_path))
    result = {"files": ["r\\xe9sum\\xe9.txt"], "text": "nul \\x00", "odd": {"\\ud800": 1}}
    assert harvest.facts == [ResultStored(result=result)]


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
def test_a_record_by_hand_is_dropped_and_the_next_counts(tmp_path: Path, record: str) -> None:
    """Given a record that no run writes, when the worker reads it, then it says so and goes on with the next."""
    run_file(tmp_path, 0).write_text(f'{record}\n{{"step": 2, "at": 1, "values": {{"loss": 0.5}}}}\n')
    harvests = list(read_all(files_of(tmp_path)))
    (line,) = said(harvests)
    assert line.startswith("headway: unreadable run record dropped: ")
    assert len(line) < 700
    (series,) = [one for harvest in harvests for one in harvest.series.values()]
    assert list(series.steps) == [2]
    assert [fact for harvest in harvests for fact in harvest.facts] == []


@pytest.mark.parametrize("size_bytes", [MAXIMUM_RECORD_BYTES, 1 << 20, (1 << 20) + 1, 5 << 20])
def test_a_record_without_end_is_passed_over_once_it_ends(tmp_path: Path, size_bytes: int) -> None:
    """Also when a worker that was started again continues in the middle of it."""
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
async def test_a_reporter_does_not_spin_on_what_is_passed_over(tmp_path: Path) -> None:
    """Given a record of which nothing is reported, when it is read in pieces, then each piece is read once."""
    run_file(tmp_path, 0).write_bytes(b"x" * (3 << 20))
    stream = SpooledStream(tmp_path / "spool", AssignmentKey(job="j", attempt=1, worker="w"))
    outbox = Outbox(heartbeat_now=lambda: None)
    samples = ResourceSamples(every_seconds=60.0, devices={})
    reporter = Reporter(stream, files_of(tmp_path), outbox, FactQueue(), samples=samples, memory_bytes=None)
    async with asyncio.timeout(10):
        await reporter.report_new({})
    assert stream.offsets["0"][1] == 3 << 20


def test_a_rank_that_repeats_itself_for_ever_fills_neither_the_log_nor_the_job(tmp_path: Path) -> None:
    """Each kind of record, thousands of times: what says something new is kept, the rest is counted."""
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


def test_dropped_metrics_are_said_again_once_they_are_ten_times_as_many(tmp_path: Path) -> None:
    """Given a script that makes up names for ever, when the worker reads on, then the log has a few lines of it."""
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
    """Given a rank with all the metrics that it may have, when it logs a new one first, then the others count."""
    with run_file(tmp_path, 0).open("w") as file:
        for number in range(MAXIMUM_SERIES):
            file.write(json.dumps({"step": 1, "at": 1, "values": {f"loss-{number}": 1.0}}) + "\n")
        file.write(json.dumps({"step": 2, "at": 1, "values": {"new": 1.0, "loss-0": 0.5}}) + "\n")
    harvests = list(read_all(files_of(tmp_path)))
    assert [step for harvest in harvests for step in harvest.series["loss-0", 0].steps] == [1, 2]


def test_an_event_file_with_too_many_metrics_is_read_on(tmp_path: Path) -> None:
    """Given a rank with all the metrics that it may have, then a new scalar is dropped, said once, and others count."""
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


def test_an_exception_whose_words_cannot_be_encoded_is_told(tmp_path: Path) -> None:
    """As that of `open` for a file whose name is not UTF-8."""
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


@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "device", "unreadable"])
@pytest.mark.parametrize("place", [log_file, run_file])
def test_a_ranks_file_that_became_something_else_stops_nothing(tmp_path: Path, place: Any, kind: str) -> None:
    """Given a log or run file that is no file any more, when it is read, then nothing waits, and it is said once."""
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


def test_many_ranks_with_much_output_share_reports(tmp_path: Path) -> None:
    """No report is larger than a broker carries, and each rank gets its turn."""
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


def test_scalars_behind_a_large_image_are_read(tmp_path: Path) -> None:
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
    assert sum("not read any further" in text for text in said(harvests)) == 2


def test_event_files_anywhere_and_of_any_kind(tmp_path: Path) -> None:
    """Below a folder whose name is not UTF-8; and a FIFO, a folder and a link that are called like such files."""
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
    stream.append((), harvests[0].lines, list(harvests[0].series.values()), harvests[0].offsets)
    assert "events:work/run-%E9/events.out.tfevents.1.host.1.0" in decode_report(stream.read(1)).offsets


def test_thousands_of_event_files_are_cut_off_and_that_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    files = files_of(tmp_path)
    files.read_events({"work": folder})
    for number in range(1_100):
        (folder / f"events.out.tfevents.1.host.1.{number}").write_bytes(event(number, 0.5))
    harvests = list(read_all(files))
    assert len([key for key in harvests[-1].offsets if key.startswith("events:")]) == 1_000
    assert [text for text in said(harvests) if "more than 1,000 event files" in text]


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
def test_whatever_stands_in_a_run_file_it_is_read(content: bytes) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        run_file(Path(folder), 0).write_bytes(content + b"\n")
        harvests = list(read_all(files_of(Path(folder))))
        stream = SpooledStream(Path(folder) / "spool", AssignmentKey(job="j", attempt=1, worker="w"))
        stream.append(tuple(harvests[0].facts), harvests[0].lines, list(harvests[0].series.values()), {})


def test_a_run_says_that_it_asks_to_save_and_which_links_its_checkpoint_lacks(run: Run, tmp_path: Path) -> None:
    """Given a script that asks `should_save`, and saves a folder with a link that leads outside, both are reported."""
    import signal

    before = signal.getsignal(signal.SIGTERM)
    try:
        run.should_save(1)
    finally:
        signal.signal(signal.SIGTERM, before)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "outside").symlink_to("/etc/hostname")
    run.save(tmp_path / "mine", 1)
    harvests = list(read_all(files_of(tmp_path)))
    facts = [fact for harvest in harvests for fact in harvest.facts]
    assert facts == [AsksToSave(), LinksLeftOut(step=1, names=("outside",), count=1)]
    assert said(harvests) == []
