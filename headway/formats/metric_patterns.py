"""Metrics from what scripts print, by regular expressions. RE2: no pattern can take long, whatever the line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import re2

from headway.errors import InvalidInput

_MAXIMUM_PROGRAM_BYTES = 1 << 20
_MAXIMUM_PROGRAM_SIZE = 50_000
"""What RE2 may make of one pattern, and of all: the time that a line takes grows with it."""


class MetricPatterns:
    """The `metrics` of a spec, compiled. Raises InvalidInput, naming the metric, for a pattern that cannot be used.

    Group `value`, or else the first group, is the value; group `step` is the step, where there is one.
    """

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = {name: _compile(name, pattern) for name, pattern in patterns.items()}
        size = sum(pattern.programsize for pattern in self._patterns.values())
        if size > _MAXIMUM_PROGRAM_SIZE:
            raise InvalidInput(
                f"The patterns of metrics come to {size:,} steps when they are compiled; {_MAXIMUM_PROGRAM_SIZE:,} are "
                "allowed. Repeat less in them."
            )

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def find(self, line: str) -> Iterator[tuple[str, int | None, float]]:
        """Metric, step (None: it is not in the line) and value of each match; what is no number is none."""
        for name, pattern in self._patterns.items():
            for match in pattern.finditer(line):
                groups = match.groupdict()
                value = _number(groups["value"] if "value" in groups else match.group(1))
                if value is not None:
                    step = _number(groups.get("step"))
                    yield name, None if step is None or not math.isfinite(step) else int(step), value


def _compile(name: str, pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAXIMUM_PROGRAM_BYTES
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error
        raise InvalidInput(f"The pattern of metric {name} cannot be read as a regular expression: {reason}.") from error
    if compiled.groups == 0:
        raise InvalidInput(f"The pattern of metric {name} has no group: put parentheses around the value.")
    return compiled


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text.replace(",", ""))
    except ValueError:
        return None
