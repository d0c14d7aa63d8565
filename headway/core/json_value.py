"""The values that a spec and every other request may contain: JSON, all databases and all clients support them."""

from __future__ import annotations

from math import isfinite
from typing import Any

from headway.errors import InvalidInput

MAXIMUM_DEPTH = 32
"""How deep lists and mappings may be nested."""
MAXIMUM_RESULT_VALUES = 200_000
"""How many values a result may have. It is stored in its job's row."""
MAXIMUM_VALUES = 1_000_000
"""How many values there may be. YAML aliases can expand to more than memory holds."""
LARGEST_INTEGER = 2**63 - 1
"""The range of 64-bit integers."""
_SHOWN_CHARACTERS = 60


def check_json(value: Any, subject: str = "") -> None:
    """Raises InvalidInput that names the first field with an unsupported value.

    Supported: text, finite numbers of at most 64 bits, true, false, null, and lists or mappings of these. The message
    begins with `subject`, such as a file name and a colon.
    """
    waiting: list[tuple[str, int, Any]] = [("", 0, value)]
    seen = 0
    while waiting:
        path, depth, one = waiting.pop()
        seen += 1
        if depth > MAXIMUM_DEPTH:
            raise InvalidInput(f"{subject}{path[:_SHOWN_CHARACTERS]}... is nested more than {MAXIMUM_DEPTH} deep.")
        if seen > MAXIMUM_VALUES:
            raise InvalidInput(f"{subject}there are more than {MAXIMUM_VALUES:,} values in it.")
        if isinstance(one, dict):
            for key in one:
                if not isinstance(key, str) or _fault(key):
                    within = f"{path}: " if path else ""
                    raise InvalidInput(f"{subject}{within}the name {shown(key)} is not text. Put it in quotes.")
            waiting.extend((f"{path}.{key}" if path else key, depth + 1, one[key]) for key in reversed(one))
        elif isinstance(one, list | tuple):
            waiting.extend((f"{path}.{at}".lstrip("."), depth + 1, one[at]) for at in reversed(range(len(one))))
        elif fault := _fault(one):
            raise InvalidInput(f"{subject}{path or 'it'} is {fault}.")


def check_result(value: Any) -> Any:
    """The value. Raises ValueError if it is too deep or has too many values for a job's result."""
    left = MAXIMUM_RESULT_VALUES
    level = [value]
    for _ in range(MAXIMUM_DEPTH + 1):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list | tuple):
                inner += one
        left -= len(inner)
        if left < 0:
            raise ValueError(f"it has more than {MAXIMUM_RESULT_VALUES:,} values")
        if not inner:
            return value
        level = inner
    raise ValueError(f"it is nested more than {MAXIMUM_DEPTH} deep")


def _fault(value: Any) -> str | None:
    """Why a value is not supported, and what to do; None if it is supported."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return (
            None if _is_unicode(value) else f"{shown(value)}, which is not valid Unicode. Remove the invalid characters"
        )
    if isinstance(value, int):
        return None if abs(value) <= LARGEST_INTEGER else "a number of more than 64 bits. Write it as text, in quotes"
    if isinstance(value, float):
        return None if isfinite(value) else f"{value}, which is not a finite number. If it is text, put it in quotes"
    kind = type(value).__name__
    return f"{shown(value)} of type {kind}. Give text, a number, true or false; if it is text, put it in quotes"


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: Any) -> str:
    """A value for a message: short and printable."""
    text = ascii(value) if isinstance(value, str | bytes) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def as_json(value: Any) -> Any:
    """A value as JSON can hold it: numbers that are not finite become `NaN`, `Infinity` and `-Infinity` as text.

    Raises ValueError for types that JSON does not have.
    """
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("the names in a mapping must be text")
        return {key: as_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"JSON has no {type(value).__name__}")
