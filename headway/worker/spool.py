"""Reports on the worker's disk, until the server has committed them."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from headway.core.facts import Fact
from headway.core.protocol import AssignmentKey
from headway.errors import Corrupt
from headway.formats.reports import (
    MAXIMUM_REPORT_BYTES,
    LogLine,
    Report,
    Series,
    decode_report,
    encode_logs,
    encode_metrics,
    encode_report,
)

_SUFFIX = ".report"
_STREAM = re.compile(r"([^.]+)\.(\d{1,9})\.([^.]+)")


class SpooledStream:
    """The numbered reports of one worker about one attempt, a file each.

    The newest file always stays, for it holds how far into the ranks' files the reports go.
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
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            self._take_up(path)

    def _take_up(self, path: Path) -> None:
        try:
            report = decode_report(path.read_bytes())
        except Corrupt:
            path.unlink()  # cut off while it was written; its lines are read again from the ranks' files
            return
        self.number, self.offsets, self.ended = report.number, report.offsets, report.last
        self._written.append(report.number)
        self.unsent.append(report.number)

    def append(
        self,
        facts: tuple[Fact, ...],
        lines: list[LogLine],
        series: list[Series],
        offsets: dict[str, list[int]],
        last: bool = False,
    ) -> None:
        """Write the next report. Raises OSError when the disk is full; nothing is changed then."""
        number = self.number + 1
        report = Report(
            job=self.key.job,
            attempt=self.key.attempt,
            worker=self.key.worker,
            number=number,
            through=number,
            last=last,
            facts=facts,
            logs=encode_logs(number, lines),
            metrics=encode_metrics(number, series),
            offsets=offsets,
        )
        path = self._path(number)
        temporary = path.with_suffix(".new")
        encoded = encode_report(report)
        if len(encoded) > MAXIMUM_REPORT_BYTES:
            encoded = encode_report(_without_streams(report, len(encoded)))
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(encoded)
            temporary.rename(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        self.number, self.offsets, self.ended = number, offsets, last
        self._written.append(number)
        self.unsent.append(number)

    def read(self, number: int) -> bytes:
        """The encoded report."""
        return self._path(number).read_bytes()

    def cut(self, through: int) -> None:
        """Forget reports up to `through`, which the server has committed."""
        keep = self.number if not self.ended else 0
        for number in [number for number in self._written if number <= through and number != keep]:
            self._path(number).unlink(missing_ok=True)
            self._written.remove(number)
        self.unsent = [number for number in self.unsent if number > through]
        self.unacknowledged = {number: size for number, size in self.unacknowledged.items() if number > through}

    def resend(self, above: int) -> None:
        """Send again what was sent and is not committed."""
        again = [number for number in self.unacknowledged if number > above]
        self.unacknowledged = {number: size for number, size in self.unacknowledged.items() if number <= above}
        self.unsent = sorted({*self.unsent, *again})

    def remove(self) -> None:
        """Delete the stream from the disk."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:010d}{_SUFFIX}"


def _without_streams(report: Report, size_bytes: int) -> Report:
    """What is left of a report that no server takes: its facts, and a line that says so."""
    words = f"headway: lines and metrics were dropped here, {size_bytes:,} bytes in one report: more than can be sent."
    return replace(report, logs=encode_logs(report.number, [LogLine(-1, time.time(), words)]), metrics=b"")


def stream_folder(home: Path, key: AssignmentKey) -> Path:
    """Where a stream's reports are spooled."""
    return home / "spool" / f"{key.job}.{key.attempt}.{key.worker}"


def leftover_streams(home: Path) -> Iterator[SpooledStream]:
    """The streams that an earlier life of this worker left behind."""
    spool = home / "spool"
    for folder in sorted(spool.iterdir()) if spool.is_dir() else ():
        named = _STREAM.fullmatch(folder.name)
        if named is not None and folder.is_dir():
            yield SpooledStream(folder, AssignmentKey(job=named[1], attempt=int(named[2]), worker=named[3]))
