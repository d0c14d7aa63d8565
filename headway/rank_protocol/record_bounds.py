"""Limits for the run records of ranks. Ranks keep them; workers check them."""

from __future__ import annotations

from typing import Any

MAXIMUM_RECORD_BYTES = 256 << 10
"""The largest record, a line of JSON. It must fit into a report and into the job's row; larger results are files."""
MAXIMUM_STEP = (1 << 53) - 1
"""Every JSON parser reads whole numbers up to this one exactly."""
MAXIMUM_NAME_CHARACTERS = 200
"""The longest name of a metric."""
MAXIMUM_DEPTH = 32
"""The deepest nesting of dicts and lists in a result."""
_LEAST_WHOLE, _GREATEST_WHOLE = -(1 << 63), (1 << 63) - 1


def checked_step(step: int, subject: str = "step") -> int:
    """The step. Raises ValueError, which names `subject`, when the step is too large to be stored."""
    if -MAXIMUM_STEP <= step <= MAXIMUM_STEP:
        return step
    raise ValueError(f"{subject} is {shown(step)}: steps go up to {MAXIMUM_STEP:,}")


def checked_metric(name: str) -> str:
    """The metric's name. Raises ValueError when it is empty or too long."""
    if 0 < len(name) <= MAXIMUM_NAME_CHARACTERS:
        return name
    start = clean_text(name[:40])
    raise ValueError(f"a metric's name has {len(name):,} characters ({start!r}): give 1 to {MAXIMUM_NAME_CHARACTERS}")


def storable(value: Any, subject: str, depth: int = 0) -> Any:
    """A parsed JSON value in a form that every database can store: text is cleaned by `clean_text`.

    Raises ValueError, with the place inside `subject`, for a whole number of more than 64 bits, and for more than 32
    levels of dicts and lists.
    """
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict | list) and depth >= MAXIMUM_DEPTH:
        raise ValueError(f"{_start(subject)} has more than {MAXIMUM_DEPTH} levels of dicts and lists: give fewer")
    if isinstance(value, dict):
        return {clean_text(key): storable(one, f"{subject}.{key}", depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [storable(one, f"{subject}[{number}]", depth + 1) for number, one in enumerate(value)]
    if isinstance(value, int) and not _LEAST_WHOLE <= value <= _GREATEST_WHOLE:
        raise ValueError(f"{_start(subject)} is {shown(value)}: whole numbers have at most 64 bits; give a float")
    return value


def clean_text(text: str) -> str:
    """The text with bytes that are not UTF-8, and NUL, written as escapes such as \\xe9."""
    try:
        encoded = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that does not encode a byte
        encoded = text.encode("utf-8", "backslashreplace")
    return encoded.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def one_line(text: str) -> str:
    """The text with line ends and other unprintable characters written as escapes such as \\n."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def shown(number: int) -> str:
    """A whole number for a message. Python refuses to format one of many thousand digits."""
    return str(number) if number.bit_length() <= 128 else f"a number of {number.bit_length():,} bits"


def _start(subject: str) -> str:
    shortened = subject if len(subject) <= 80 else f"{subject[:80]}..."
    return clean_text(shortened)
