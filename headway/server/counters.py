"""What a server process has counted since it started: the only source for metrics about it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from headway.database.damage import Damage

COUNTED_STATUSES = frozenset({401, 413, 429, 503})
"""The counted statuses of answers: unknown caller, too large, too many requests, server cannot answer."""


@dataclass
class ServerCounters:
    """All counts of the server. No other part of it keeps its own."""

    damage: Damage
    """The rows that could not be read."""
    corrupt_reports: int = 0
    """Reports that could not be read, or whose facts could not be applied, and were put aside."""
    missing_reports: int = 0
    """Reports of ended attempts that never came, although later ones of the same worker did."""
    refused_claims: int = 0
    """Claims that the server refused: the assignment was stopping, released, or of another attempt."""
    refused_assignments: int = 0
    """Assignments that a worker refused because it had too few free slots."""
    lost_workers: int = 0
    """Workers that were declared lost, without those that shut down in order."""
    quarantined_workers: int = 0
    """Quarantines that started."""
    failed_deliveries: int = 0
    """How often an event sink failed to take events. They are given again."""
    refusals_not_listed: int = 0
    """Refused requests that the audit does not list, because their address had too many in one minute."""
    answers: Counter[int] = field(default_factory=Counter)
    """HTTP answers by status, for each of COUNTED_STATUSES."""

    @property
    def damaged_rows(self) -> int:
        """Rows that could not be read and still exist."""
        return len(self.damage.rows())
