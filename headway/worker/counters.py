"""What a worker process has counted since it started: the one source of what metrics show of it."""

from __future__ import annotations

from dataclasses import dataclass

from headway.worker.harvest import Harvest


@dataclass
class WorkerCounters:
    """Whoever drops or replaces something adds it here; the jobs' logs say so as well."""

    dropped_output_bytes: int = 0
    """What ranks printed beyond HEADWAY_MAXIMUM_LOG_BYTES."""
    dropped_records: int = 0
    """Records of ranks that were too large or could not be read."""
    dropped_points: int = 0
    """Metric points of ranks that log more metrics than are kept."""
    stripped_reports: int = 0
    """Reports that were sent without lines and metrics, which were more than can be sent."""
    replaced_reports: int = 0
    """Reports that were lost on the disk or on their way: gaps in a spool, of which the server is told."""

    def add_dropped(self, harvest: Harvest) -> None:
        """Add what was not kept of what ranks left."""
        self.dropped_output_bytes += harvest.dropped_output_bytes
        self.dropped_records += harvest.dropped_records
        self.dropped_points += harvest.dropped_points
