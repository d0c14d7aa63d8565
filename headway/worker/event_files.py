"""Scalars from TensorBoard's event files, read while they grow.

A file is a sequence of TFRecords (length, checksum, protobuf `Event`, checksum), see
https://www.tensorflow.org/tutorials/load_data/tfrecord and tensorboard/compat/proto/{event,summary,tensor}.proto. Only
the few fields of a scalar are read, so no protobuf library is needed. Checksums are not verified: the length shows
whether a record is still being written.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headway.folders import walk

_FILE_NAME = re.compile(r"events\.out\.tfevents\.\d+\..*?(?:\.(\d+)\.\d+(?:\..*)?)?$")
_MAXIMUM_RECORD_BYTES = 64 << 20
MAXIMUM_SCALARS_BYTES = 256 << 10
"""A larger record holds images or the like, and is skipped."""
_FLOAT, _DOUBLE = 1, 2
"""Tensor types, see tensorboard/compat/proto/types.proto."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value of a tag at a step; `at` in seconds since the epoch."""

    tag: str
    step: int
    at: float
    value: float


def is_event_file(path: Path) -> bool:
    """Whether the path has the name of an event file."""
    return path.name.startswith("events.out.tfevents.")


def find_event_files(folder: Path) -> Iterator[Path]:
    """The event files below a folder; links are not followed."""
    for parent, _, names in walk(folder):
        yield from filter(is_event_file, (parent / name for name in names))


def process_of(path: Path) -> int | None:
    """The id of the process that writes the file, from the file's name."""
    match = _FILE_NAME.fullmatch(path.name)
    return int(match[1]) if match and match[1] else None


def read_records(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Complete records, each with the position after it. A record too large for scalars comes empty, when it starts.

    Raises ValueError if the file is not an event file.
    """
    position = 0
    while position + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, position)
        if length > _MAXIMUM_RECORD_BYTES:
            raise ValueError("a record has an impossible length")
        end = position + 12 + length + 4
        if length > MAXIMUM_SCALARS_BYTES:
            yield end, b""
            position = end
            continue
        if end > len(content):
            return
        yield end, content[position + 12 : end - 4]
        position = end


def scalars(record: bytes) -> Iterator[Scalar]:
    """The scalars of an `Event`. Raises ValueError when it is not one."""
    step, at, values = 0, 0.0, []
    for number, value in _fields(record):
        if number == 1 and isinstance(value, bytes):
            (at,) = struct.unpack("<d", value)
        elif number == 2 and isinstance(value, int):
            step = value - (1 << 64) if value >> 63 else value
        elif number == 5 and isinstance(value, bytes):
            values += [part for field, part in _fields(value) if field == 1 and isinstance(part, bytes)]
    for one in values:
        tag, number_value = _scalar(one)
        if number_value is not None:
            yield Scalar(tag, step, at, number_value)


def _scalar(value: bytes) -> tuple[str, float | None]:
    tag, number = "", None
    for field, part in _fields(value):
        if field == 1 and isinstance(part, bytes):
            tag = part.decode(errors="replace")
        elif field == 2 and isinstance(part, bytes):
            (number,) = struct.unpack("<f", part)
        elif field == 8 and isinstance(part, bytes):
            number = _tensor_scalar(part)
    return tag, number


def _tensor_scalar(tensor: bytes) -> float | None:
    dtype: int | bytes = 0
    content = b""
    for field, part in _fields(tensor):
        if field == 1:
            dtype = part
        elif field in (4, 5, 6) and isinstance(part, bytes):  # tensor_content, float_val, double_val
            content = part
    form = {_FLOAT: "<f", _DOUBLE: "<d"}.get(dtype) if isinstance(dtype, int) else None
    if form is None or len(content) != struct.calcsize(form):
        return None
    (number,) = struct.unpack(form, content)
    return float(number)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Fields of a protobuf message: numbers as int, everything else as its bytes."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        match key & 7:
            case 0:
                value, position = _varint(message, position)
                yield key >> 3, value
                continue
            case 1:
                size = 8
            case 2:
                size, position = _varint(message, position)
            case 5:
                size = 4
            case wire:
                raise ValueError(f"wire type {wire} is not known")
        if position + size > len(message):
            raise ValueError("a field goes beyond its message")
        yield key >> 3, message[position : position + size]
        position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message) and shift < 70:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number is cut off, or too long")
