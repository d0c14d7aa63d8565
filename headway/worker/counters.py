"""What a worker process has counted since it started: the only source for metrics about it."""

from __future__ import annotations

from dataclasses import dataclass

from headway.worker.harvest import Harvest


@dataclass
class WorkerCounters:
    """Counts of everything that the worker dropped or replaced. The jobs' logs name it as well."""

    dropped_output_bytes: int = 0
    """Output of ranks beyond HEADWAY_MAXIMUM_LOG_BYTES, in bytes."""
    dropped_records: int = 0
    """Records of ranks that were too large or could not be read."""
    dropped_points: int = 0
    """Metric points of series beyond the limit per rank."""
    stripped_reports: int = 0
    """Reports that were sent without lines and metrics, because these were too large to send."""
    replaced_reports: int = 0
    """Reports that were lost on the disk or in transit. The server is told of these gaps."""

    def add_dropped(self, harvest: Harvest) -> None:
        """Add what a harvest dropped."""
        self.dropped_output_bytes += harvest.dropped_output_bytes
        self.dropped_records += harvest.dropped_records
        self.dropped_points += harvest.dropped_points
