"""Reports on the worker's disk, until the server has committed them."""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from headway.core.facts import Fact, Released, WorkerFailed
from headway.core.protocol import AssignmentKey
from headway.errors import Corrupt
from headway.formats.metrics import Series, encode_metrics
from headway.formats.reports import MAXIMUM_REPORT_BYTES, LogLine, Report, decode_report, encode_logs, encode_report
from headway.rank_protocol.paths import SETUP_RANK

_log = logging.getLogger(__name__)
_SUFFIX = ".report"
_NUMBER = re.compile(r"[0-9]{10}")
_STREAM = re.compile(r"([^.]+)\.(\d{1,9})\.([^.]+)")


class SpooledReport(NamedTuple):
    """A report on the disk. `offsets`: the position in the ranks' files after this report.

    `stripped`: its lines and metrics were left out because they were too large to send.
    """

    number: int
    offsets: dict[str, list[int]]
    last: bool
    stripped: bool = False


class SpooledStream:
    """The numbered reports of one worker about one attempt, a file each.

    The newest file always stays, because it holds the offsets into the ranks' files. Only `write` may be called in a
    thread. Its result is added on the event loop's thread, which sends and drops reports meanwhile.
    """

    def __init__(self, folder: Path, key: AssignmentKey) -> None:
        self.key = key
        self.ended = False
        self.offsets: dict[str, list[int]] = {}
        self.number = 0
        self.unsent: list[int] = []
        self.unacknowledged: dict[int, int] = {}
        self._folder = folder
        self._written: list[int] = []
        self._replaced: set[int] = set()
        self._cut_through = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._take_up({int(path.stem): path for path in folder.glob(f"*{_SUFFIX}") if _NUMBER.fullmatch(path.stem)})

    def _take_up(self, paths: dict[int, Path]) -> None:
        """Load the reports that a former start of the worker wrote.

        The newest may be incomplete; then its lines are read again from the ranks' files.
        """
        self._cut_through = min(paths, default=1) - 1
        for number, path in sorted(paths.items()):
            report = _read_report(path, number)
            if report is None:
                with suppress(OSError):
                    path.unlink()
            else:
                self.add(SpooledReport(number, report.offsets, report.last))

    def write(
        self,
        facts: tuple[Fact, ...],
        lines: list[LogLine],
        series: list[Series],
        offsets: dict[str, list[int]],
        last: bool = False,
    ) -> SpooledReport:
        """Write the next report; it counts once it is added. Raises OSError when the disk is full."""
        number = self.number + 1
        logs, metrics = encode_logs(number, lines), encode_metrics(number, series)
        key = self.key
        report = Report(key.job, key.attempt, key.worker, number, number, last, facts, logs, metrics, offsets)
        encoded = encode_report(report)
        stripped = len(encoded) > MAXIMUM_REPORT_BYTES
        if stripped:
            encoded = encode_report(_without_streams(report, len(encoded)))
        self._write_file(number, encoded)
        return SpooledReport(number, offsets, last, stripped)

    def add(self, report: SpooledReport) -> None:
        """Queue a written report for sending."""
        self.number, self.offsets, self.ended = report.number, report.offsets, report.last
        self._written.append(report.number)
        self.unsent.append(report.number)

    def skip(self, offsets: dict[str, list[int]]) -> None:
        """Set the offsets: content before them was read and is not reported."""
        self.offsets = offsets

    def check(self, number: int) -> bool:
        """Make sure that a report that the server waits for can be sent. If it is damaged, replace it.

        True if it was replaced.
        """
        if self._cut_through < number <= self.number and _read_report(self._path(number), number) is None:
            return self.replace(number, "was damaged on its disk")
        return False

    def replace(self, number: int, why: str) -> bool:
        """Replace a report that cannot be read, once. Its content is lost, so the attempt fails.

        Without a replacement no later report of the stream would count. True if it was written.
        """
        if not self._cut_through < number <= self.number or number in self._replaced:
            return False
        key, last = self.key, self.ended and number == self.number
        words = f"Report {number} of worker {key.worker} about this attempt {why}, so its content is lost."
        failed = WorkerFailed(error=words)
        facts: tuple[Fact, ...] = (failed, Released()) if last else (failed,)
        logs = encode_logs(number, [LogLine(SETUP_RANK, time.time(), f"headway: {words}")])
        offsets = self.offsets if number == self.number else {}
        report = Report(key.job, key.attempt, key.worker, number, number, last, facts, logs, b"", offsets)
        try:
            self._write_file(number, encode_report(report))
        except OSError as error:
            _log.error("A report of job %s cannot be replaced yet: %s", key.job, error)
            return False
        _log.error("Attempt %d of job %s: %s", key.attempt, key.job, words)
        self._replaced.add(number)
        self._written = sorted({*self._written, number})
        self.unacknowledged.pop(number, None)
        self.unsent = sorted({*self.unsent, number})
        return True

    def _write_file(self, number: int, encoded: bytes) -> None:
        path = self._path(number)
        temporary = path.with_suffix(".new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(encoded)
            temporary.rename(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def read(self, number: int) -> bytes:
        """The encoded report."""
        return self._path(number).read_bytes()

    def cut(self, through: int) -> None:
        """Delete reports up to `through`, which the server has committed."""
        self._cut_through = max(self._cut_through, through)
        keep = self.number if not self.ended else 0
        for number in [number for number in self._written if number <= through and number != keep]:
            self._path(number).unlink(missing_ok=True)
            self._written.remove(number)
        self.unsent = [number for number in self.unsent if number > through]
        self.unacknowledged = {number: size for number, size in self.unacknowledged.items() if number > through}

    def resend(self, above: int) -> None:
        """Send again the reports that were sent and are not committed."""
        again = [number for number in self.unacknowledged if number > above]
        self.unacknowledged = {number: size for number, size in self.unacknowledged.items() if number <= above}
        self.unsent = sorted({*self.unsent, *again})

    def remove(self) -> None:
        """Delete the stream from the disk."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:010d}{_SUFFIX}"


def _read_report(path: Path, number: int) -> Report | None:
    try:
        report = decode_report(path.read_bytes())
    except (Corrupt, OSError):
        return None
    return report if report.number == number else None


def _without_streams(report: Report, size_bytes: int) -> Report:
    """A report that is too large for the server, cut to its facts and a line that says so."""
    words = f"headway: lines and metrics were dropped here: {size_bytes:,} bytes in one report are too large to send."
    return replace(report, logs=encode_logs(report.number, [LogLine(SETUP_RANK, time.time(), words)]), metrics=b"")


def stream_folder(home: Path, key: AssignmentKey) -> Path:
    """Where a stream's reports are spooled."""
    return home / "spool" / f"{key.job}.{key.attempt}.{key.worker}"


def leftover_streams(home: Path) -> Iterator[SpooledStream]:
    """The streams that an earlier start of this worker left."""
    spool = home / "spool"
    for folder in sorted(spool.iterdir()) if spool.is_dir() else ():
        named = _STREAM.fullmatch(folder.name)
        if named is not None and folder.is_dir():
            yield SpooledStream(folder, AssignmentKey(job=named[1], attempt=int(named[2]), worker=named[3]))
