"""Reports on the wire and at rest: facts as they are, streams as compressed columns."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Annotated, Any, TypeVar

import msgpack
import zstandard
from pydantic import Field, StrictBool, TypeAdapter

from headway.core.attempt import LARGEST_NUMBER
from headway.core.facts import FACTS, Fact
from headway.core.frozen import Text
from headway.errors import Corrupt
from headway.formats.bounded import read_packed_list, unpack_msgpack

MAXIMUM_REPORT_BYTES = 16 << 20
"""Of one report on the wire."""
MAXIMUM_SECTION_BYTES = 64 << 20
"""Of a section, unpacked."""
MAXIMUM_REPORT_LINES = 1 << 16
"""Of one report. A worker begins the next report long before."""
MAXIMUM_REPORT_SERIES = 1 << 17
"""Of one report. A worker begins the next report long before."""
MAXIMUM_REPORT_POINTS = 1 << 21
"""Of all series of one report; a worker reads at most 7 MiB of records for one."""
LATEST_SECONDS = 1e11
"""No time is later than this, in seconds since the epoch."""
_MAXIMUM_TEXT_BYTES = 256 << 10
"""Of a line: a worker cuts lines at 64 KiB, and bytes that are no UTF-8 take three each."""
_LOG_ITEMS = MAXIMUM_REPORT_LINES + 8
"""Lines of a report, and the lists that hold them."""
_METRIC_ITEMS = 6 * MAXIMUM_REPORT_SERIES + 8
"""Series of a report, each a list of five, and the lists that hold them."""
_MAXIMUM_REPORT_ITEMS = 1 << 20
_FIELDS = 10
_HEAD_BYTES = 512
"""Of a report, what its format's version, job, attempt and worker take at most: both ids have 40 characters."""
_PARTIAL = "\r"
"""What ends the text of a line that has no end yet; no other line ends so."""

_Parsed = TypeVar("_Parsed")
_Id = Annotated[Text, Field(strict=True, min_length=1, max_length=40)]
_Number = Annotated[int, Field(strict=True, ge=1, le=LARGEST_NUMBER)]
_Section = Annotated[bytes, Field(strict=True)]
_Offsets = dict[str, list[Annotated[int, Field(strict=True)]]]
_Wire = tuple[_Id, _Number, _Id, _Number, StrictBool, list[Any], _Section, _Section, _Offsets]
_WIRE: TypeAdapter[_Wire] = TypeAdapter(_Wire)
"""What a report has on the wire, behind its format's version."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a rank printed, and when the worker read it (seconds since the epoch).

    `partial`: it has no end yet, as a bar, and is as it was drawn last; the rank's next line takes its place.
    """

    rank: int
    at: float
    text: str
    partial: bool = False


@dataclass(slots=True)
class Series:
    """Points of one metric of one rank: int64 steps, float64 times and values, all of the same length."""

    name: str
    rank: int
    steps: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))


@dataclass(frozen=True, slots=True)
class Report:
    """A numbered batch of what a worker tells of one attempt.

    `logs` and `metrics` are compressed sections (empty bytes: none). A chunk of several compacted reports has the
    same form and covers the numbers `number` to `through`. `offsets` is the worker's own note of how far into its
    ranks' files it has read.
    """

    job: str
    attempt: int
    worker: str
    number: int
    through: int
    last: bool = False
    facts: tuple[Fact, ...] = ()
    logs: bytes = b""
    metrics: bytes = b""
    offsets: dict[str, list[int]] = field(default_factory=dict)


def encode_report(report: Report) -> bytes:
    """The report as bytes for the broker and the spool."""
    facts = [fact.model_dump(mode="json") for fact in report.facts]
    fields = (report.job, report.attempt, report.worker, report.number, report.last, facts, report.logs)
    encoded: bytes = msgpack.packb((1, *fields, report.metrics, report.offsets))
    return encoded


def decode_report(body: bytes) -> Report:
    """The report of `encode_report`, of which each field has its type and the facts can be stored. Raises Corrupt."""
    format_version, *fields = _fields(body)
    if format_version != 1:
        raise Corrupt(f"A report has format {format_version}; this version reads 1. Update the server.")
    try:
        job, attempt, worker, number, last, facts, logs, metrics, offsets = _WIRE.validate_python(tuple(fields))
        stored = decode_facts(encode_facts(FACTS.validate_python(facts))) if facts else ()
    except (ValueError, TypeError, RecursionError) as error:
        raise Corrupt(f"A report of {len(body)} bytes cannot be read: {error}") from error
    return Report(job, attempt, worker, number, number, last, stored, logs, metrics, offsets)


def decode_head(body: bytes) -> Report:
    """Which report it is whose facts or streams `decode_report` cannot read; without them. Raises Corrupt."""
    head = _fields(body)[1:6]
    try:
        job, attempt, worker, number, last, *_ = _WIRE.validate_python((*head, [], b"", b"", {}))
    except ValueError as error:
        raise Corrupt(f"A report of {len(body)} bytes does not say which it is: {error}") from error
    return Report(job, attempt, worker, number, number, last)


def _fields(body: bytes) -> list[Any]:
    if len(body) > MAXIMUM_REPORT_BYTES:
        raise Corrupt(f"A report has {len(body):,} bytes; {MAXIMUM_REPORT_BYTES:,} are allowed.")
    fields = unpack_msgpack(body, _MAXIMUM_REPORT_ITEMS)
    if not isinstance(fields, list) or len(fields) != _FIELDS:
        raise Corrupt(f"{len(body)} bytes are not a report.")
    return fields


def encode_facts(facts: Sequence[Fact]) -> bytes:
    """Facts as JSON, for the database."""
    return FACTS.dump_json(tuple(facts))


def decode_facts(body: bytes) -> tuple[Fact, ...]:
    """Facts of `encode_facts`."""
    return FACTS.validate_json(body)


def encode_logs(number: int, lines: Sequence[LogLine]) -> bytes:
    """The lines of report `number` as one section; no lines give no bytes."""
    if not lines:
        return b""
    columns = (
        array("i", [line.rank for line in lines]).tobytes(),
        array("d", [line.at for line in lines]).tobytes(),
        [line.text + _PARTIAL if line.partial else line.text for line in lines],
    )
    return _compress([(number, columns)])


def decode_logs(section: bytes) -> list[LogLine]:
    """All lines of a section. Raises Corrupt."""
    return [line for _, content in _entries(section, _LOG_ITEMS) for line in _parsed(section, _lines, content)]


def log_entries(report: Report, after: int = 0) -> Iterator[tuple[int, list[LogLine]]]:
    """Of a report or chunk, the number and lines of each report above `after`, one at a time. Raises Corrupt."""
    for number, content in _entries(report.logs, _LOG_ITEMS, report.number, report.through):
        if number > after:
            yield number, _parsed(report.logs, _lines, content)


def _lines(content: Any) -> list[LogLine]:
    ranks, times, texts = content
    if not set(map(type, texts)) <= {str}:
        raise TypeError("a line is not text")
    columns = zip(_array("i", ranks), _times(times), texts, strict=True)
    return [LogLine(rank, at, text.removesuffix(_PARTIAL), text.endswith(_PARTIAL)) for rank, at, text in columns]


def encode_metrics(number: int, series: Iterable[Series]) -> bytes:
    """The series of report `number` as one section of packed arrays; no points give no bytes."""
    packed = [
        (one.name, one.rank, one.steps.tobytes(), one.times.tobytes(), one.values.tobytes())
        for one in series
        if one.steps
    ]
    return _compress([(number, packed)]) if packed else b""


def decode_metrics(sections: Iterable[bytes]) -> list[Series]:
    """The series of some sections, joined by name and rank. Raises Corrupt."""
    merged: dict[tuple[str, int], Series] = {}
    for section in sections:
        for _, content in _entries(section, _METRIC_ITEMS):
            for one in _parsed(section, _all_series, content):
                series = merged.setdefault((one.name, one.rank), one)
                if series is not one:
                    series.steps.extend(one.steps)
                    series.times.extend(one.times)
                    series.values.extend(one.values)
    return list(merged.values())


def metric_entries(report: Report, after: int = 0) -> Iterator[tuple[int, list[Series]]]:
    """Of a report or chunk, the number and series of each report above `after`, one at a time. Raises Corrupt."""
    for number, content in _entries(report.metrics, _METRIC_ITEMS, report.number, report.through):
        if number > after:
            yield number, _parsed(report.metrics, _all_series, content)


def _all_series(content: Any) -> list[Series]:
    found = [_series(*one) for one in content]
    if sum(len(one.steps) for one in found) > MAXIMUM_REPORT_POINTS:
        raise ValueError(f"a report has more than the {MAXIMUM_REPORT_POINTS:,} points allowed")
    return found


def _series(name: Any, rank: Any, steps: bytes, times: bytes, values: bytes) -> Series:
    if type(name) is not str or type(rank) is not int:
        raise TypeError("the name of a series is not text, or its rank not an integer")
    if not len(steps) == len(times) == len(values):
        raise ValueError("a series has columns of different lengths")
    return Series(name, rank, _array("q", steps), _times(times), _array("d", values))


def _times(data: bytes) -> array[float]:
    """Times, each of which is one: the sum of what is finite and bounded is finite."""
    times = _array("d", data)
    if times and not (isfinite(sum(times)) and min(times) >= 0 and max(times) <= LATEST_SECONDS):
        raise ValueError("a time is not finite, or out of range")
    return times


def readable_metrics(sections: Sequence[bytes]) -> list[Series]:
    """As `decode_metrics`, without the sections that cannot be read: followers are shown these."""
    try:
        return decode_metrics(sections)
    except Corrupt:
        return decode_metrics([section for section in sections if _can_be_read(section)])


def _can_be_read(section: bytes) -> bool:
    try:
        decode_metrics([section])
    except Corrupt:
        return False
    return True


def merge_reports(reports: Sequence[Report]) -> Report:
    """One chunk for a gap-free run of committed reports. It keeps their numbers and streams; facts are in the job."""
    first, last = reports[0], reports[-1]
    return Report(
        job=first.job,
        attempt=first.attempt,
        worker=first.worker,
        number=first.number,
        through=last.through,
        last=last.last,
        logs=_merge([(report, report.logs) for report in reports], _lines, _LOG_ITEMS),
        metrics=_merge([(report, report.metrics) for report in reports], _all_series, _METRIC_ITEMS),
    )


def stated_bytes(report: Report) -> int:
    """How large the sections say that they are unpacked; as large as may be for one that does not say it."""
    return sum(_stated_bytes(section) for section in (report.logs, report.metrics) if section)


def _stated_bytes(section: bytes) -> int:
    try:
        size_bytes: int = zstandard.frame_content_size(section)
    except zstandard.ZstdError:
        size_bytes = -1
    return MAXIMUM_SECTION_BYTES if size_bytes < 0 else size_bytes


def _merge(sections: Iterable[tuple[Report, bytes]], parse: Callable[[Any], list[Any]], maximum_items: int) -> bytes:
    """One section for several; none is merged that could not be read."""
    entries: list[tuple[int, Any]] = []
    for report, section in sections:
        for number, content in _entries(section, maximum_items, report.number, report.through):
            _parsed(section, parse, content)
            entries.append((number, content))
    return _compress(entries) if entries else b""


def _compress(entries: list[Any]) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(msgpack.packb(entries))


def _entries(
    section: bytes, maximum_items: int, first: int = 1, through: int = LARGEST_NUMBER
) -> Iterator[tuple[int, Any]]:
    """What a section has of each report, by its number. The numbers grow, within `first` and `through`."""
    if not section:
        return
    try:
        for number, content in read_packed_list(section, MAXIMUM_SECTION_BYTES, maximum_items, _MAXIMUM_TEXT_BYTES):
            if type(number) is not int or not first <= number <= through:
                raise ValueError("it has numbers of other reports")
            first = number + 1
            yield number, content
    except (ValueError, TypeError, Corrupt) as error:
        raise _unreadable(section, error) from error


def _parsed(section: bytes, parse: Callable[[Any], list[_Parsed]], content: Any) -> list[_Parsed]:
    """Contents of another form than ours make the section Corrupt."""
    try:
        return parse(content)
    except (ValueError, TypeError) as error:
        raise _unreadable(section, error) from error


def _unreadable(section: bytes, error: Exception) -> Corrupt:
    return Corrupt(f"A stream section of {len(section)} bytes cannot be read: {error}")


def _array(typecode: str, data: bytes) -> array[Any]:
    values: array[Any] = array(typecode)
    values.frombytes(data)
    return values


def report_worker(body: bytes) -> str:
    """Whose report it is, from its first bytes alone: the rest is unpacked once, when it is decoded. Raises Corrupt."""
    head = msgpack.Unpacker(max_buffer_size=_HEAD_BYTES)
    head.feed(body[:_HEAD_BYTES])
    try:
        fields = head.read_array_header()
        worker = [head.unpack() for _ in range(4)][3]
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise Corrupt(f"{len(body)} bytes are not a report.") from error
    if fields != _FIELDS or not isinstance(worker, str):
        raise Corrupt(f"A report of {len(body)} bytes does not say whose it is.")
    return worker
