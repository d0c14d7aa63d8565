"""Numbers in answers. JSON has none that are not finite."""

from __future__ import annotations

from typing import Literal

Number = float | Literal["NaN", "Infinity", "-Infinity"]
"""A number as JSON can hold it: one that is not finite is text."""
