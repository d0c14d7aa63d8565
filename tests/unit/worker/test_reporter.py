"""Reports of one assignment: nothing is lost, nothing is reported twice, and the last report always comes."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from headway.core.facts import CheckpointPartStored, LeftFilesRead, RankFinished, RankStarted, Released, WorkerFailed
from headway.rank_protocol.paths import log_file, run_file
from headway.worker import harvest as harvest_module
from headway.worker import reporter as reporter_module
from headway.worker import spool as spool_module
from headway.worker.counters import WorkerCounters
from headway.worker.fact_queue import FactQueue
from headway.worker.harvest import Harvest
from headway.worker.outbox import Outbox
from headway.worker.rank_files import RankFiles
from headway.worker.read_watch import LeftFilesWatch
from headway.worker.reporter import Reporter
from headway.worker.resource_samples import ResourceSamples
from headway.worker.spool import SpooledReport, SpooledStream
from tests.unit.worker.fake_attempt import KEY, reports

pytestmark = pytest.mark.anyio


class Stream(SpooledStream):
    """Calls `before_writing` in the thread that writes a report."""

    def before_writing(self) -> None:
        return None

    def write(self, *arguments: Any, **options: Any) -> SpooledReport:
        self.before_writing()
        return super().write(*arguments, **options)


def a_reporter(folder: Path, stream: SpooledStream, facts: FactQueue, files: RankFiles | None = None) -> Reporter:
    files = files or RankFiles(folder, [0], maximum_log_bytes=1 << 20)
    samples = ResourceSamples(every_seconds=60.0, devices={})
    return Reporter(stream, files, Outbox(lambda: None, WorkerCounters()), facts, samples=samples, memory_bytes=None)


async def test_a_fact_that_comes_while_a_report_is_written_goes_into_the_next(tmp_path: Path) -> None:
    """Given a report being written in a thread, when a checkpoint's part is stored meanwhile, then that fact is not
    lost.
    """
    facts, stream = FactQueue(), Stream(tmp_path / "spool", KEY)
    facts.put(RankStarted(rank=0, pid=1))

    def part_stored() -> None:
        if stream.number == 0:
            facts.put(CheckpointPartStored(step=1, rank=0))

    stream.before_writing = part_stored  # type: ignore[method-assign]
    reporter = a_reporter(tmp_path, stream, facts)
    for _ in range(3):
        await reporter.report_new({})
    said = [report.facts for report in reports(tmp_path / "spool")]
    assert said == [(RankStarted(rank=0, pid=1),), (CheckpointPartStored(step=1, rank=0),)]


async def test_a_full_disk_delays_a_report_and_loses_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter_module, "_DISK_FULL_SECONDS", 0.0)
    facts, stream, tries = FactQueue(), Stream(tmp_path / "spool", KEY), iter([28, 28])

    def full() -> None:
        for number in tries:
            raise OSError(number, "No space left on device")

    stream.before_writing = full  # type: ignore[method-assign]
    facts.put(RankStarted(rank=0, pid=1))
    run_file(tmp_path, 0).write_text('{"type": "rank_finished", "rank": 0}\n')
    reporter = a_reporter(tmp_path, stream, facts)
    await reporter.report_new({})
    (report,) = reports(tmp_path / "spool")
    assert report.facts == (RankStarted(rank=0, pid=1), RankFinished(rank=0))
    assert reporter.finished == {0}


async def test_a_full_disk_does_not_lose_the_fact_that_ranks_read_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter_module, "_DISK_FULL_SECONDS", 0.0)

    class Watch(LeftFilesWatch):
        def newest_read(self) -> float | None:
            return next(news, None)

    def full() -> None:
        for _ in tries:
            raise OSError(28, "No space left on device")

    stream, tries, news = Stream(tmp_path / "spool", KEY), iter(range(2)), iter([None, 5.0])
    stream.before_writing = full  # type: ignore[method-assign]
    reporter = a_reporter(tmp_path, stream, FactQueue())
    reporter.watch_left(Watch({}))
    run_file(tmp_path, 0).write_text('{"type": "rank_finished", "rank": 0}\n')
    for _ in range(2):
        await reporter.report_new({})
    (report,) = reports(tmp_path / "spool")
    assert report.facts == (LeftFilesRead(modified_at=5.0), RankFinished(rank=0))


async def test_attributes_of_a_reporter_change_only_in_the_loops_thread(tmp_path: Path) -> None:
    """Given a report being written in a thread, when a heartbeat reads the newest step meanwhile, then it gets the step
    of the previous report, not a value that the thread is changing."""
    seen: list[int | None] = []

    class Files(RankFiles):
        def harvest(self, offsets: dict[str, list[int]], *, final: bool = False) -> Harvest:
            assert threading.current_thread() is not threading.main_thread()
            harvest = super().harvest(offsets, final=final)
            seen.append(reporter.logged_step)
            return harvest

    facts, stream = FactQueue(), SpooledStream(tmp_path / "spool", KEY)
    files = Files(tmp_path, [0], maximum_log_bytes=1 << 20)
    reporter = a_reporter(tmp_path, stream, facts, files)
    for step in (1, 2):
        with run_file(tmp_path, 0).open("a") as file:
            file.write(json.dumps({"step": step, "at": 1.0, "values": {"loss": 0.5}}) + "\n")
        facts.put(RankStarted(rank=0, pid=1))
        await reporter.report_new({})
        assert reporter.logged_step == step
    assert seen == [None, 1]


class BadFiles(RankFiles):
    """Files whose reading has a defect."""

    def harvest(self, offsets: dict[str, list[int]], *, final: bool = False) -> Harvest:
        raise RuntimeError("odd: {worker}")


async def test_unreportable_files_do_not_block_the_last_report(tmp_path: Path) -> None:
    facts, stream = FactQueue(), SpooledStream(tmp_path, KEY)
    facts.put(RankStarted(rank=0, pid=1))
    await a_reporter(tmp_path, stream, facts, BadFiles(tmp_path, [0], maximum_log_bytes=1 << 20)).report_last()
    (report,) = reports(tmp_path)
    assert report.facts == (RankStarted(rank=0, pid=1), WorkerFailed(error="RuntimeError: odd: {worker}"), Released())
    assert report.last


async def test_dropped_content_of_ranks_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given output beyond the limit, unreadable records, too many metrics, and a report too large to send."""
    monkeypatch.setattr(harvest_module, "MAXIMUM_SERIES", 2)
    stream = SpooledStream(tmp_path / "spool", KEY)
    files = RankFiles(tmp_path, [0], maximum_log_bytes=100)
    reporter = a_reporter(tmp_path, stream, FactQueue(), files)
    counters = reporter._outbox.counters
    values = '{"step": 1, "at": 1, "values": {"a": 1, "b": 2, "c": 3, "d": 4}}'
    run_file(tmp_path, 0).write_text(f"nonsense\n{values}\n[]\n")
    log_file(tmp_path, 0).write_text("x" * 200 + "\n")
    await reporter.report_new({})
    assert (counters.dropped_records, counters.dropped_points, counters.dropped_output_bytes) == (2, 2, 0)
    with log_file(tmp_path, 0).open("a") as file:
        file.write("y" * 50)
    monkeypatch.setattr(spool_module, "MAXIMUM_REPORT_BYTES", 10)
    await reporter.report_last()
    assert counters.dropped_output_bytes == 50
    assert counters.stripped_reports == 1


async def test_reports_of_a_watched_job_leave_several_times_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a line each 0.25 s, when a user watches they leave one by one, and otherwise together."""
    now = 1000.0
    monkeypatch.setattr(reporter_module.time, "monotonic", lambda: now)
    stream = Stream(tmp_path / "spool", KEY)
    reporter = a_reporter(tmp_path, stream, FactQueue())
    for watched, expected in ((True, 8), (False, 1)):
        reporter.watched = watched
        before = stream.number
        for number in range(8):
            now += 0.25 if watched else 0.2
            with log_file(tmp_path, 0).open("a") as file:
                file.write(f"line {number}\n")
            await reporter.report_new({})
        assert stream.number - before == expected
