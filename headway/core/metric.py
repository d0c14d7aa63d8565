"""Names of metrics."""

from __future__ import annotations

SYSTEM = "system/"
"""What the names of samples that the worker takes begin with; they are listed only when they are asked for."""
