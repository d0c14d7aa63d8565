"""The audit: what users were allowed to change, and what was refused to whom."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from headway.core.audit import AuditEntry, Outcome
from headway.database.base import AuditQuery, Database
from headway.database.request_audit import RequestAudit, entries_stored, request_audit, waiting_entries
from headway.errors import HeadwayError
from headway.server.access import (
    Action,
    AttemptSubject,
    Caller,
    CallerKind,
    DatasetSubject,
    Decisions,
    JobSubject,
    ProjectSubject,
    SnapshotSubject,
    Subject,
    UserSubject,
    WorkerSubject,
    changes_something,
    deciding,
    project_of,
    require_in_installation,
)
from headway.server.clock import Clock
from headway.server.counters import ServerCounters

_log = logging.getLogger(__name__)
_REFUSALS_A_MINUTE = 60
"""Of one address: what it is refused beyond that is counted, and not listed."""
_WAITING_REFUSALS = 1_000
_RETRY_SECONDS = 1.0
_MINUTE_SECONDS = 60.0
_AUDITED = (CallerKind.USER, CallerKind.JOIN)
"""Whose changes are listed. What workers and ranks do is in the events of jobs."""
_DETAIL_CHARACTERS = 300


class Audit:
    """A change is stored together with its entry. Refusals are stored a moment later, so that no answer takes longer
    because the object exists.
    """

    def __init__(self, database: Database, clock: Clock, counters: ServerCounters) -> None:
        self._database = database
        self._clock = clock
        self._counters = counters
        self._refusals: asyncio.Queue[AuditEntry] = asyncio.Queue(_WAITING_REFUSALS)
        self._lately: Counter[str] = Counter()
        self._minute = 0
        self._newest_id = ""

    @contextmanager
    def of_request(self, address: str) -> Iterator[_AuditedDecisions]:
        """Note the decisions about one request, from this address."""
        decisions = _AuditedDecisions(self, address)
        token = request_audit.set(decisions.changes)
        try:
            with deciding(decisions):
                yield decisions
        finally:
            request_audit.reset(token)

    async def store(self) -> None:
        """Store now what the request at work was allowed, where nothing else that it writes does."""
        entries = waiting_entries()
        if entries:
            await self._database.insert_audit(entries)
            entries_stored(entries)

    def not_authenticated(self, address: str, path: str, reason: str) -> None:
        """A request came without a token that holds."""
        at = self._clock.now()
        self.refused(
            AuditEntry(
                id=self._next_id(at),
                at=at,
                user="",
                credential="",
                address=address,
                action="authenticate",
                project=None,
                subject=path[:_DETAIL_CHARACTERS],
                outcome=Outcome.REFUSED,
                detail=reason[:_DETAIL_CHARACTERS],
            )
        )

    def refused(self, entry: AuditEntry) -> None:
        """Store this entry soon."""
        minute = int(self._clock.monotonic() / _MINUTE_SECONDS)
        if minute != self._minute:
            self._minute = minute
            self._lately.clear()
        self._lately[entry.address] += 1
        if self._lately[entry.address] > _REFUSALS_A_MINUTE or self._refusals.full():
            self._counters.refusals_not_listed += 1
            if self._lately[entry.address] == _REFUSALS_A_MINUTE + 1:
                _log.warning("Address %s is refused much; the rest of this minute is not listed.", entry.address)
            return
        self._refusals.put_nowait(entry)

    async def keep_refusals(self) -> None:
        """Store refusals as they come, for ever."""
        while True:
            entry = await self._refusals.get()
            while True:
                try:
                    await self._database.insert_audit([entry])
                    self._refusals.task_done()
                    break
                except HeadwayError as error:
                    _log.error("A refusal is not in the audit yet: %s", error)
                    await asyncio.sleep(_RETRY_SECONDS)

    async def list(self, caller: Caller, query: AuditQuery) -> list[AuditEntry]:
        """The entries that are asked for, newest first. Raises NotAllowed."""
        require_in_installation(caller, Action.AUDIT_READ)
        return await self._database.audit(query)

    def entry(self, caller: Caller, action: Action, subject: Subject, address: str, outcome: Outcome) -> AuditEntry:
        """A new entry."""
        at = self._clock.now()
        return AuditEntry(
            id=self._next_id(at),
            at=at,
            user=caller.user_name,
            credential=caller.credential,
            address=address,
            action=action.value,
            project=project_of(subject),
            subject=words_of(subject),
            outcome=outcome,
        )

    def _next_id(self, at: float) -> str:
        """Ids grow, also within a microsecond and when the clock is set back."""
        drawn = f"a-{int(at * 1e6):014x}"
        if drawn <= self._newest_id:
            drawn = f"a-{int(self._newest_id[2:], 16) + 1:014x}"
        self._newest_id = drawn
        return f"{drawn}-{secrets.token_hex(3)}"


class _AuditedDecisions(Decisions):
    """Those about one request. `changes` are stored by the first write of the request."""

    def __init__(self, audit: Audit, address: str) -> None:
        super().__init__()
        self._audit = audit
        self._address = address
        self.changes = RequestAudit()

    def note(self, caller: Caller, action: Action, subject: Subject, *, allowed: bool) -> None:
        super().note(caller, action, subject, allowed=allowed)
        if not allowed:
            self._audit.refused(self._audit.entry(caller, action, subject, self._address, Outcome.REFUSED))
        elif changes_something(action) and caller.kind in _AUDITED:
            self.changes.add(self._audit.entry(caller, action, subject, self._address, Outcome.ALLOWED))

    def made(self, subject: Subject) -> None:
        self.changes.amend(subject=words_of(subject))

    def detail(self, text: str) -> None:
        self.changes.amend(detail=text[:_DETAIL_CHARACTERS])


def words_of(subject: Subject) -> str:
    """What the audit calls a subject."""
    match subject:
        case ProjectSubject(name=name):
            return f"project {name}"
        case JobSubject(id=job):
            return f"job {job}"
        case AttemptSubject(job=job, number=number):
            return f"attempt {number} of job {job}"
        case WorkerSubject(id=worker):
            return f"worker {worker}"
        case UserSubject(name=name):
            return f"user {name}" if name else "the server's home"
        case DatasetSubject(name=name):
            return f"dataset {name}"
        case SnapshotSubject(sha256=sha256):
            return f"snapshot {sha256[:12]}"
    return "the installation"
