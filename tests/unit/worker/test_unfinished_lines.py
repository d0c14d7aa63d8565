"""Output without a line end: bars and prompts appear while they are shown; in the end the log has each line once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from headway.formats.reports import LogLine, decode_logs, encode_logs
from headway.rank_protocol.paths import log_file
from headway.worker import log_space, rank_files
from headway.worker.rank_files import RankFiles
from tests.fake_clock import FakeClock


class Tail:
    """A growing log of a rank, and all reported lines."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.files = RankFiles(folder, [0], maximum_log_bytes=1 << 20)
        self.path = log_file(folder, 0)
        self.path.touch()
        self.clock = clock
        self.offsets: dict[str, list[int]] = {}
        self.lines: list[LogLine] = []

    def print(self, text: str, seconds: float = 1.25, *, final: bool = False) -> list[tuple[str, bool]]:
        """Print text and let time pass. Returns the new lines."""
        with self.path.open("a", newline="") as log:
            log.write(text)
        self.clock.seconds += seconds
        if not self.files.grown(self.offsets) and not final:
            return []
        harvest = self.files.harvest(self.offsets, final=final)
        if not harvest.empty:  # as the reporter does
            self.offsets = harvest.offsets
        self.lines += harvest.lines
        return [(line.text, line.partial) for line in harvest.lines]

    @property
    def whole(self) -> list[str]:
        return [line.text for line in self.lines if not line.partial]


@pytest.fixture
def tail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tail:
    clock = FakeClock()
    monkeypatch.setattr(rank_files, "time", SimpleNamespace(time=clock.monotonic, monotonic=clock.monotonic))
    return Tail(tmp_path, clock)


def test_a_bar_appears_while_it_moves_and_is_one_line_in_the_end(tail: Tail) -> None:
    assert tail.print("begin\n\r 0%|    |") == [("begin", False)]
    assert tail.print("\r 10%|#   |\r 20%|##  |") == [(" 20%|##  |", True)]
    assert tail.print("\r 30%|### |") == [(" 30%|### |", True)]
    assert tail.print("") == []
    assert tail.print("\r100%|####|\n") == [("100%|####|", False)]
    assert tail.print("end\n") == [("end", False)]
    assert tail.whole == ["begin", "100%|####|", "end"]


def test_a_line_that_is_printed_in_parts_is_whole_in_the_end(tail: Tail) -> None:
    tail.print("loading ...")
    assert tail.print("") == [("loading ...", True)], "it is shown although nothing more was printed"
    assert tail.print("") == []
    assert tail.print(" done\r\n") == [("loading ... done", False)]
    assert tail.whole == ["loading ... done"]


def test_a_line_whose_end_comes_soon_is_reported_once(tail: Tail) -> None:
    assert tail.print("step 1", 0.3) == []
    assert tail.print(" of 2\nstep 2", 0.3) == [("step 1 of 2", False)]
    assert tail.print(" of 2\n", 0.3) == [("step 2 of 2", False)]


def test_a_bar_of_an_epoch_costs_a_line_per_report_and_no_more_bytes(tail: Tail) -> None:
    """Given a bar that is drawn thousands of times, then overdrawn text is read once."""
    for number in range(50):
        tail.print("".join(f"\r{number:5} {'#' * 60} {drawn:4}" for drawn in range(400)))
    assert len(tail.lines) in (49, 50)
    assert all(line.partial for line in tail.lines)
    assert tail.path.stat().st_size - tail.offsets["0"][0] < 100
    assert tail.offsets["0"][2] < 5_000, "overdrawn text does not count as kept"
    tail.print("", final=True)
    assert tail.whole == [f"   49 {'#' * 60}  399"]


def test_the_last_state_of_a_bar_is_a_line_when_its_rank_ends(tail: Tail) -> None:
    tail.print("\r 10%")
    tail.print("\r 20%")
    assert tail.print("\r 30%", final=True) == [(" 30%", False)]


def test_an_endless_line_is_cut_and_its_newest_part_shown(tail: Tail) -> None:
    tail.print("." * 5_000)
    assert tail.print("x") == [("." * 1023 + "x", True)]
    tail.print("." * 70_000)
    assert [len(text) for text in tail.whole] == [rank_files.MAXIMUM_LINE_BYTES]
    tail.print("\n")
    assert sum(map(len, tail.whole)) == 75_001


@pytest.mark.parametrize("final", [False, True])
@pytest.mark.parametrize(
    "drawn", [b"\rworking...", b"\r" + b" " * 40, b"\r\x1b[2K"], ids=["the same bar", "an empty bar", "an erased bar"]
)
def test_more_bars_than_are_read_at_once_block_nothing(tmp_path: Path, drawn: bytes, *, final: bool) -> None:
    """Given megabytes of bars without a line end, then everything is read, and the text after them is a line."""
    log_file(tmp_path, 0).write_bytes(drawn * (3_000_000 // len(drawn)) + b"\rdone\n")
    files, offsets = RankFiles(tmp_path, [0], maximum_log_bytes=1 << 20), {}
    for _ in range(10):
        harvest = files.harvest(offsets, final=final)
        offsets = harvest.offsets
        if not harvest.more:
            break
    assert offsets["0"][0] == log_file(tmp_path, 0).stat().st_size
    assert [line.text for line in harvest.lines if not line.partial] == ["done"]


def read_bars(folder: Path, megabytes: int) -> tuple[RankFiles, dict[str, list[int]], list[str]]:
    """Lines before, between and after `megabytes` of bars, read while they are written."""
    files, offsets, lines = RankFiles(folder, [0], maximum_log_bytes=1 << 20), {}, []
    bars = "".join(f"\r{number:15}" for number in range(1 << 16)).encode()
    with log_file(folder, 0).open("ab") as log:
        for number in range(megabytes):
            log.write(b"\nline %d\n" % number + bars)
            log.flush()
            harvest = files.harvest(offsets, final=number == megabytes - 1)
            lines += [line.text for line in harvest.lines if not line.partial]
            while harvest.more:
                harvest = files.harvest(harvest.offsets, final=number == megabytes - 1)
                lines += [line.text for line in harvest.lines if not line.partial]
            offsets = harvest.offsets
    return files, offsets, lines


def test_endless_bars_do_not_fill_the_disk_and_no_line_is_lost(tmp_path: Path) -> None:
    """Given bars that are drawn endlessly, then text that was read takes no disk space, and each line is there once."""
    files, _, lines = read_bars(tmp_path, 40)
    status = log_file(tmp_path, 0).stat()
    assert status.st_size > 40 << 20
    assert status.st_blocks * 512 < 16 << 20
    assert [line for line in lines if line.startswith("line")] == [f"line {number}" for number in range(40)]
    assert not any("\0" in line or "dropped" in line for line in lines)
    assert files.tail(0, 1) == (f"{65535:15}",)


def test_bars_count_if_the_disk_cannot_free_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_space, "sys", SimpleNamespace(platform="other"))
    _, offsets, lines = read_bars(tmp_path, 40)
    assert offsets["0"][2] >= 1 << 20
    assert sum("the rest of this rank's output is dropped" in line for line in lines) == 1
    assert log_file(tmp_path, 0).stat().st_size < 32 << 20


def test_partial_lines_are_marked_in_a_report() -> None:
    lines = [LogLine(0, 1.0, "whole"), LogLine(1, 2.0, "bar", partial=True)]
    assert decode_logs(encode_logs(1, lines)) == lines
