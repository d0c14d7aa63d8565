"""Metrics of scripts that do not use Headway: from lines of their log, and from TensorBoard's files."""

from __future__ import annotations

import struct
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from headway.formats.metric_patterns import MetricPatterns
from headway.rank_protocol.paths import SETUP_RANK, log_file
from headway.worker.event_files import Scalar, process_of, read_records, scalars
from headway.worker.rank_files import RankFiles


def test_matches_without_a_step_are_counted_per_rank_across_reports(tmp_path: Path) -> None:
    files = RankFiles(tmp_path, [0], maximum_log_bytes=1 << 20, patterns=MetricPatterns({"loss": r"loss (\S+)"}))
    log_file(tmp_path, 0).write_text("loss 3\nloss 2\n")
    first = files.harvest({})
    with log_file(tmp_path, 0).open("a") as log:
        log.write("loss 1\n")
    second = files.harvest(first.offsets)
    assert list(first.series["loss", 0].steps) == [1, 2]
    assert list(second.series["loss", 0].steps) == [3]
    assert list(second.series["loss", 0].values) == [1.0]


def test_scalars_that_torch_writes_are_read_while_the_file_grows(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    folder = tmp_path / "work" / "runs"
    files = RankFiles(tmp_path, [0], maximum_log_bytes=1 << 20)
    files.read_events({"work": tmp_path / "work"})
    with SummaryWriter(str(folder)) as writer:
        writer.add_scalar("loss/train", 0.5, 7)
        writer.add_text("note", "not a number")
        writer.add_scalar("new", 2.0, 8, new_style=True)
        writer.flush()
        first = files.harvest({}, final=True)
        writer.add_scalar("loss/train", 0.25, 9)
    second = files.harvest(first.offsets, final=True)
    assert (list(first.series["loss/train", 0].steps), list(first.series["loss/train", 0].values)) == ([7], [0.5])
    assert list(first.series["new", 0].values) == [2.0]
    assert list(second.series["loss/train", 0].steps) == [9]
    assert files.harvest(second.offsets, final=True).empty


def test_existing_event_files_are_not_read(tmp_path: Path) -> None:
    """Given event files from the snapshot or an earlier attempt, only new scalars count."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "work" / "runs")) as old:
        old.add_scalar("loss", 0.5, 1)
    files = RankFiles(tmp_path, [0], maximum_log_bytes=1 << 20)
    files.read_events({"work": tmp_path / "work"})
    assert not files.grown({})
    with SummaryWriter(str(tmp_path / "work" / "runs"), filename_suffix=".second") as new:
        new.add_scalar("loss", 0.25, 2)
    assert list(files.harvest({}, final=True).series["loss", 0].steps) == [2]


def test_an_event_files_process_tells_its_rank(tmp_path: Path) -> None:
    assert process_of(tmp_path / "events.out.tfevents.1700000000.host.example.4321.0") == 4321
    assert process_of(tmp_path / "events.out.tfevents.1700000000.host") is None


def test_a_damaged_event_file_is_named_once_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    files = RankFiles(tmp_path, [0], maximum_log_bytes=1 << 20)
    files.read_events({"work": tmp_path / "work"})
    (tmp_path / "work" / "events.out.tfevents.1.host.1.0").write_bytes(struct.pack("<Q", 1 << 60) + b"x" * 40)
    first = files.harvest({}, final=True)
    assert "is damaged and is not read further" in first.lines[0].text
    assert files.harvest(first.offsets, final=True).empty


@given(st.binary(max_size=300))
def test_any_record_is_read_or_refused(record: bytes) -> None:
    try:
        for scalar in scalars(record):
            assert isinstance(scalar, Scalar)
    except (ValueError, struct.error):
        return


@given(st.binary(max_size=300))
def test_records_end_where_the_file_ends(content: bytes) -> None:
    try:
        for end, record in read_records(content):
            assert end <= len(content) or not record, "only a skipped record may be incomplete"
    except ValueError:
        return


def test_output_beyond_the_limit_is_dropped_with_one_notice(tmp_path: Path) -> None:
    files = RankFiles(tmp_path, [0], maximum_log_bytes=100)
    log_file(tmp_path, 0).write_text("x" * 60 + "\n" + "y" * 60 + "\n")
    first = files.harvest({})
    assert [line.text[:1] for line in first.lines] == ["x", "y", "h"]
    assert "100 bytes of output are kept (HEADWAY_MAXIMUM_LOG_BYTES)" in first.lines[-1].text
    with log_file(tmp_path, 0).open("a") as log:
        log.write("more\n")
    assert files.harvest(first.offsets).empty


def test_output_of_the_preparation_has_rank_minus_one(tmp_path: Path) -> None:
    (tmp_path / "setup.log").write_text("Resolved 1 package\n")
    harvest = RankFiles(tmp_path, [0], maximum_log_bytes=1 << 20).harvest({})
    assert [(line.rank, line.text) for line in harvest.lines] == [(SETUP_RANK, "Resolved 1 package")]
