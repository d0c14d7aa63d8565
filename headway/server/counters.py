"""What a server process has counted since it started: the one source of what metrics show of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from headway.database.damage import Damage

COUNTED_STATUSES = frozenset({401, 413, 429, 503})
"""Of answers: who is not known, sends too much, asks too often, or comes while the server cannot answer."""


@dataclass
class ServerCounters:
    """Whoever does something countable adds it here, and keeps no count of its own."""

    damage: Damage
    """Knows the rows that could not be read."""
    corrupt_reports: int = 0
    """Reports that could not be read, or whose facts could not be applied, and were put aside."""
    missing_reports: int = 0
    """Reports of ended attempts that never came, though later ones of their worker did."""
    refused_claims: int = 0
    """Claims that the server refused: the assignment was stopping, released, or of another attempt."""
    refused_assignments: int = 0
    """Assignments that a worker refused for want of slots."""
    lost_workers: int = 0
    """Workers that were declared lost; those that shut down in order are not."""
    quarantined_workers: int = 0
    """Quarantines that began."""
    failed_deliveries: int = 0
    """Times that an event sink did not take events, which are given again."""
    answers: Counter[int] = field(default_factory=Counter)
    """Answers over HTTP by status, for each of COUNTED_STATUSES."""

    @property
    def damaged_rows(self) -> int:
        """Rows that could not be read, and are there still."""
        return len(self.damage.rows())
