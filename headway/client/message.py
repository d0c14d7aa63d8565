"""What a client that follows a job is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Message:
    """One thing that happened to a followed job: an `event`, a `report` (lines and series) or, at last, the `end`."""

    kind: str
    data: dict[str, Any]
    cursor: str
