"""Sent and stored reports: plain facts, and streams as compressed columns."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgpack
from pydantic import Field, StrictBool, TypeAdapter

from headway.core.attempt import LARGEST_NUMBER
from headway.core.facts import FACTS, Fact
from headway.core.frozen import Text
from headway.errors import Corrupt
from headway.formats.bounded import unpack_msgpack
from headway.formats.metrics import METRIC_ITEMS, Series, all_series
from headway.formats.sections import array_of, compress, parsed, section_entries, stated_section_bytes, times_of

MAXIMUM_REPORT_BYTES = 16 << 20
"""The largest report as it is sent."""
MAXIMUM_REPORT_LINES = 1 << 16
"""The most lines of one report. A worker begins the next report long before this limit."""
_LOG_ITEMS = MAXIMUM_REPORT_LINES + 8
"""The most items of a report's lines: the lines, and the lists that hold them."""
_MAXIMUM_REPORT_ITEMS = 1 << 20
_FIELDS = 10
_HEAD_BYTES = 512
"""The longest start of a report, with format version, job, attempt and worker. Both ids have 40 characters."""
_PARTIAL = "\r"
"""The last character of a line without an end. No other line ends with it."""

_Id = Annotated[Text, Field(strict=True, min_length=1, max_length=40)]
_Number = Annotated[int, Field(strict=True, ge=1, le=LARGEST_NUMBER)]
_Section = Annotated[bytes, Field(strict=True)]
_Offsets = dict[str, list[Annotated[int, Field(strict=True)]]]
_Wire = tuple[_Id, _Number, _Id, _Number, StrictBool, list[Any], _Section, _Section, _Offsets]
_WIRE: TypeAdapter[_Wire] = TypeAdapter(_Wire)
"""The fields of a sent report, after its format version."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a rank printed, and when the worker read it (seconds since the epoch).

    `partial`: a line without an end, such as a progress bar, in its latest state. The rank's next line replaces it.
    """

    rank: int
    at: float
    text: str
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """A numbered batch of a worker's facts, log lines and metrics of one attempt.

    `logs` and `metrics` are compressed sections (empty bytes: none). A chunk of several merged reports has the same
    form and covers the numbers `number` to `through`. `offsets` says how far the worker has read its ranks' files.
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
    """Decodes `encode_report`. Raises Corrupt if a field has a wrong type or facts cannot be stored."""
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
    """The report without facts and streams, for one that `decode_report` cannot read. Raises Corrupt."""
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
    """The lines of report `number` as one section; empty bytes for no lines."""
    if not lines:
        return b""
    columns = (
        array("i", [line.rank for line in lines]).tobytes(),
        array("d", [line.at for line in lines]).tobytes(),
        [line.text + _PARTIAL if line.partial else line.text for line in lines],
    )
    return compress([(number, columns)])


def decode_logs(section: bytes) -> list[LogLine]:
    """All lines of a section. Raises Corrupt."""
    return [line for _, content in section_entries(section, _LOG_ITEMS) for line in parsed(section, _lines, content)]


def log_entries(report: Report, after: int = 0) -> Iterator[tuple[int, list[LogLine]]]:
    """The number and lines of each report above `after` in a report or chunk, one at a time. Raises Corrupt."""
    for number, content in section_entries(report.logs, _LOG_ITEMS, report.number, report.through):
        if number > after:
            yield number, parsed(report.logs, _lines, content)


def _lines(content: Any) -> list[LogLine]:
    ranks, times, texts = content
    if not set(map(type, texts)) <= {str}:
        raise TypeError("a line is not text")
    columns = zip(array_of("i", ranks), times_of(times), texts, strict=True)
    return [LogLine(rank, at, text.removesuffix(_PARTIAL), text.endswith(_PARTIAL)) for rank, at, text in columns]


def metric_entries(report: Report, after: int = 0) -> Iterator[tuple[int, list[Series]]]:
    """The number and series of each report above `after` in a report or chunk, one at a time. Raises Corrupt."""
    for number, content in section_entries(report.metrics, METRIC_ITEMS, report.number, report.through):
        if number > after:
            yield number, parsed(report.metrics, all_series, content)


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
        metrics=_merge([(report, report.metrics) for report in reports], all_series, METRIC_ITEMS),
    )


def stated_bytes(report: Report) -> int:
    """The unpacked size that the sections state; the largest allowed size if a section states none."""
    return sum(stated_section_bytes(section) for section in (report.logs, report.metrics) if section)


def _merge(sections: Iterable[tuple[Report, bytes]], parse: Callable[[Any], list[Any]], maximum_items: int) -> bytes:
    """Merges sections. Sections that cannot be read are not merged."""
    entries: list[tuple[int, Any]] = []
    for report, section in sections:
        for number, content in section_entries(section, maximum_items, report.number, report.through):
            parsed(section, parse, content)
            entries.append((number, content))
    return compress(entries) if entries else b""


def report_worker(body: bytes) -> str:
    """The job, attempt and worker of a report, from its first bytes. The rest is decoded later. Raises Corrupt."""
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
