"""Turns numbers of scripts (NumPy, tensors, JAX arrays, Decimal) into plain ones for JSON. Imports none of these."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

_SHOWN_CHARACTERS = 80


def whole_number(value: Any, subject: str) -> int:
    """The value as an int. A float is accepted if it is whole.

    Raises TypeError, which names `subject`, when it is not a whole number.
    """
    if type(value) is int:
        return value
    try:
        return operator.index(value)  # also for NumPy integers, and tensors with one integer
    except (TypeError, ValueError):
        number = real_number(value, subject)
    if not number.is_integer():
        raise TypeError(f"{subject} is {_shown(value)}: give a whole number")
    return int(number)


def real_number(value: Any, subject: str) -> float:
    """The value as a float; NaN for a masked NumPy value.

    Raises TypeError, which names `subject`, when it is not one number.
    """
    if _is_masked(value):
        return float("nan")
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # a tensor of many numbers raises RuntimeError
        raise TypeError(f"{subject} is {_shown(value)}: give one number") from None


def real_numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a step as floats. Raises TypeError, which names a metric that is not a number."""
    return {
        name: value if type(value) is float else real_number(value, f"metric {name}") for name, value in values.items()
    }


def encode(record: Any) -> str:
    """The record as JSON. Raises TypeError or ValueError for a value that JSON cannot represent."""
    with suppress(TypeError):
        return _ENCODER.encode(record)
    return _ENCODER.encode(_with_plain_keys(record))


def place_without_form(value: Any, place: str) -> str | None:
    """The path, starting with `place`, of the first part of the value that JSON cannot represent; None if there is
    none.
    """
    try:
        encode(value)
    except TypeError:
        parts: Iterable[tuple[Any, Any]] = ()
        if isinstance(value, dict):
            parts = value.items()
        elif isinstance(value, list | tuple):
            parts = enumerate(value)
        inner = (place_without_form(one, f"{place}.{name}") for name, one in parts)
        return next((found for found in inner if found is not None), place)
    return None


def _is_masked(value: Any) -> bool:
    return type(value).__module__.startswith("numpy.ma") and bool(value.mask.any())


def _with_plain_keys(value: Any) -> Any:
    """A copy in which keys that are NumPy numbers, such as class labels, are plain."""
    if isinstance(value, dict):
        return {_plain_key(key): _with_plain_keys(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_with_plain_keys(one) for one in value]
    return value


def _plain_key(key: Any) -> Any:
    return key if isinstance(key, str | int | float) or key is None else _plain(key)


def _plain(value: Any) -> Any:
    """A replacement that JSON can represent, which the encoder then encodes."""
    for name in ("tolist", "item"):  # for arrays and tensors, with one number or many
        plain = getattr(value, name, lambda: value)()
        if type(plain) is not type(value):
            return plain
    if hasattr(value, "__index__"):
        return operator.index(value)
    if hasattr(value, "__float__"):
        return float(value)
    raise TypeError(f"{_shown(value)} has no form in JSON: give numbers, text, lists and dicts")


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", None)
    text = f"of shape {tuple(shape)}" if shape else repr(value)
    return f"{text[:_SHOWN_CHARACTERS]} ({type(value).__name__})"


_ENCODER = json.JSONEncoder(default=_plain)
