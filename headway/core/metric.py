"""Metrics: their names, and how values are shown."""

from __future__ import annotations

import json
from math import isfinite

SYSTEM = "system/"
"""The prefix of the worker's own samples. They are listed only on request."""


def metric_text(value: float, form: str) -> str:
    """A value for people; one that is not finite is spelled as in JSON: NaN, Infinity, -Infinity."""
    return format(value, form) if isfinite(value) else json.dumps(value)
