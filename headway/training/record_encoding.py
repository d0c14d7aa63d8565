"""Encodes a rank's records. A value that cannot be stored is refused with its name, where the script writes it."""

from __future__ import annotations

import json
from typing import Any

from headway.rank_protocol.record_bounds import MAXIMUM_DEPTH, MAXIMUM_RECORD_BYTES, storable
from headway.training.plain_values import encode, place_without_form

_RESULT_BYTES = MAXIMUM_RECORD_BYTES - 1024
"""The rest of the limit is for the record around the result."""


def encoded_record(record: dict[str, Any]) -> bytes:
    """The record as a line of JSON. Raises ValueError when it is too large, TypeError if JSON cannot represent it."""
    line = _encoded(record, "the record").encode() + b"\n"
    if len(line) <= MAXIMUM_RECORD_BYTES:
        return line
    values = record.get("values")
    raise ValueError(_too_large("The record", line, values if isinstance(values, dict) else record, "log less at once"))


def checked_result(result: dict[str, Any]) -> dict[str, Any]:
    """The result as plain values. Raises ValueError, which names a value that is too large to be stored."""
    text = _encoded(result, "the result")
    if len(text) > _RESULT_BYTES:
        advice = "write larger data to a file in run.output_directory"
        raise ValueError(_too_large("The result", text.encode(), result, advice))
    plain: dict[str, Any] = storable(json.loads(text), "result")
    return plain


def _encoded(value: Any, subject: str) -> str:
    try:
        return encode(value)
    except TypeError as error:
        where, _, key = (place_without_form(value, subject) or subject).partition(".")
        raise TypeError(f"{key or where}: {error}") from None
    except RecursionError:
        raise ValueError(f"{subject} has more than {MAXIMUM_DEPTH} levels of dicts and lists: give fewer") from None


def _too_large(subject: str, encoded: bytes, values: dict[str, Any], advice: str) -> str:
    sizes = {str(name)[:80]: len(encode(value)) for name, value in values.items()}
    largest = max(sizes, key=lambda name: sizes[name])
    return (
        f"{subject} has {len(encoded):,} bytes as JSON, {sizes[largest]:,} of them in {largest}; "
        f"{MAXIMUM_RECORD_BYTES:,} are allowed: {advice}"
    )
