"""The audit entries of a request, which its first write stores in the same transaction."""

from __future__ import annotations

from contextvars import ContextVar

from headway.core.audit import AuditEntry


class RequestAudit:
    """What a request was allowed to change. An entry is taken by a write, and counts as stored once that is."""

    def __init__(self) -> None:
        self._waiting: list[AuditEntry] = []

    def add(self, entry: AuditEntry) -> None:
        """Store this entry with the next write."""
        self._waiting.append(entry)

    def amend(self, **fields: str) -> None:
        """Change these fields of the newest entry, if it is not stored yet."""
        if self._waiting:
            self._waiting[-1] = self._waiting[-1].model_copy(update=fields)

    @property
    def waiting(self) -> list[AuditEntry]:
        """The entries that are not stored yet."""
        return [*self._waiting]

    def stored(self, entries: list[AuditEntry]) -> None:
        """These entries are stored."""
        self._waiting = [one for one in self._waiting if one not in entries]


request_audit: ContextVar[RequestAudit | None] = ContextVar("request_audit", default=None)
"""That of the request at work; None outside of requests, such as in the scheduler."""


def waiting_entries() -> list[AuditEntry]:
    """What the next write has to store with it."""
    audit = request_audit.get()
    return audit.waiting if audit is not None else []


def entries_stored(entries: list[AuditEntry]) -> None:
    """The write that stored these entries is done."""
    audit = request_audit.get()
    if audit is not None:
        audit.stored(entries)
