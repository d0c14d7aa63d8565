"""Metrics from the output of scripts, by regular expressions. RE2 bounds the time of each pattern on each line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import re2

from headway.errors import InvalidInput

_MAXIMUM_PROGRAM_BYTES = 1 << 20
_MAXIMUM_PROGRAM_SIZE = 50_000
"""The largest RE2 program, of one pattern and of all together. The time per line grows with it."""


class MetricPatterns:
    """The compiled `metrics` of a spec. Raises InvalidInput that names the metric of an unusable pattern.

    Group `value`, or else the first group, is the value; group `step`, if there is one, is the step.
    """

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = {name: _compile(name, pattern) for name, pattern in patterns.items()}
        size = sum(pattern.programsize for pattern in self._patterns.values())
        if size > _MAXIMUM_PROGRAM_SIZE:
            raise InvalidInput(
                f"The metric patterns compile to {size:,} instructions; {_MAXIMUM_PROGRAM_SIZE:,} are allowed. "
                "Use fewer or smaller repetitions."
            )

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def find(self, line: str) -> Iterator[tuple[str, int | None, float]]:
        """Metric, step (None if the line has none) and value of each match. Other matches are skipped."""
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
        raise InvalidInput(f"The pattern of metric {name} is not a valid regular expression: {reason}.") from error
    if compiled.groups == 0:
        raise InvalidInput(f"The pattern of metric {name} has no group: put parentheses around the value.")
    return compiled


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text.replace(",", ""))
    except ValueError:
        return None
