"""Which worker may send which reports: its own, and those of its earlier registrations in the same home."""

from __future__ import annotations

from headway.brokers.envelope import report_key, unseal
from headway.core.json_value import shown
from headway.errors import Corrupt
from headway.formats.reports import report_worker
from headway.server.tokens import Tokens
from headway.server.worker_registry import WorkerRegistry


class ReportSenders:
    """Checks each report before it is decoded."""

    def __init__(self, tokens: Tokens, registry: WorkerRegistry) -> None:
        self._tokens = tokens
        self._registry = registry

    def opened(self, envelope: bytes) -> bytes:
        """The report in an envelope that came through an external broker.

        Raises Corrupt if its sender did not sign it or may not send it.
        """
        sender, report = unseal(envelope, lambda worker: report_key(self._tokens.secret, worker))
        self.check(sender, report)
        return report

    def check(self, sender: str, report: bytes) -> None:
        """Raises Corrupt for a report that this worker may not send."""
        named = report_worker(report)
        if named not in self._registry.lives_of(sender):
            raise Corrupt(f"Worker {sender} sent a report in the name of {shown(named)}.")
