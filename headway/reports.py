"""Reports on the wire and at rest: facts as they are, streams as compressed columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgpack
import zstandard
from pydantic import Field, StrictBool, TypeAdapter

from headway.bounded import decompress_zstd, unpack_msgpack
from headway.core.attempt import LARGEST_NUMBER
from headway.core.facts import FACTS, Fact
from headway.core.frozen import Text
from headway.errors import Corrupt

MAXIMUM_REPORT_BYTES = 16 << 20
"""Of one report on the wire."""
MAXIMUM_SECTION_BYTES = 64 << 20
"""Of a section, unpacked."""
MAXIMUM_SECTION_ITEMS = 2 << 20
"""Lines, or series, and what holds them together."""
_MAXIMUM_REPORT_ITEMS = 1 << 20
_FIELDS = 10
_PARTIAL = "\r"
"""What ends the text of a line that has no end yet; no other line ends so."""

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


def decode_logs(section: bytes, after: int = 0) -> list[LogLine]:
    """The lines of a section that came in reports with numbers above `after`. Raises Corrupt."""
    lines: list[LogLine] = []
    with _readable(section):
        for number, (ranks, times, texts) in _unpack(section):
            if number > after:
                columns = zip(_array("i", ranks), _array("d", times), texts, strict=True)
                lines.extend(
                    LogLine(rank, at, text.removesuffix(_PARTIAL), text.endswith(_PARTIAL))
                    for rank, at, text in columns
                )
    return lines


def encode_metrics(number: int, series: Iterable[Series]) -> bytes:
    """The series of report `number` as one section of packed arrays; no points give no bytes."""
    packed = [
        (one.name, one.rank, one.steps.tobytes(), one.times.tobytes(), one.values.tobytes())
        for one in series
        if one.steps
    ]
    return _compress([(number, packed)]) if packed else b""


def decode_metrics(sections: Iterable[bytes], after: int = 0) -> list[Series]:
    """The series of some sections, joined by name and rank, as far as they came in reports above `after`.

    Raises Corrupt.
    """
    merged: dict[tuple[str, int], Series] = {}
    for section in sections:
        with _readable(section):
            for number, packed in _unpack(section):
                for name, rank, steps, times, values in packed if number > after else ():
                    if not len(steps) == len(times) == len(values):
                        raise ValueError("a series has columns of different lengths")
                    series = merged.setdefault((name, rank), Series(name, rank))
                    series.steps.frombytes(steps)
                    series.times.frombytes(times)
                    series.values.frombytes(values)
    return list(merged.values())


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
        logs=_merge([report.logs for report in reports]),
        metrics=_merge([report.metrics for report in reports]),
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


def _merge(sections: Sequence[bytes]) -> bytes:
    entries = [entry for section in sections for entry in _unpack(section)]
    return _compress(entries) if entries else b""


def _compress(entries: list[Any]) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(msgpack.packb(entries))


def _unpack(section: bytes) -> Any:
    if not section:
        return []
    try:
        return unpack_msgpack(decompress_zstd(section, MAXIMUM_SECTION_BYTES), MAXIMUM_SECTION_ITEMS)
    except Corrupt as error:
        raise Corrupt(f"A stream section of {len(section)} bytes cannot be read: {error}") from error


@contextmanager
def _readable(section: bytes) -> Iterator[None]:
    """Contents of another form than ours make the section Corrupt."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise Corrupt(f"A stream section of {len(section)} bytes cannot be read: {error}") from error


def _array(typecode: str, data: bytes) -> array[Any]:
    values: array[Any] = array(typecode)
    values.frombytes(data)
    return values


def report_worker(body: bytes) -> str:
    """Whose report it is, without reading the rest. Raises Corrupt."""
    worker = _fields(body)[3]
    if not isinstance(worker, str):
        raise Corrupt(f"A report of {len(body)} bytes does not say whose it is.")
    return worker
