"""The verb of credentials: list the valid tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum

from pydantic import BaseModel

from headway.errors import NotFound
from headway.server.access import Action, Caller, CallerKind, InstallationSubject, require
from headway.server.callers import Callers
from headway.server.home_tokens import HomeTokens
from headway.server.services.jobs import Jobs
from headway.server.tokens import Token, for_rank, for_worker
from headway.server.worker_registry import WorkerRegistry


class EndsWith(StrEnum):
    """What ends a token's validity, if not a time."""

    REGISTRATION = "registration"
    ATTEMPT = "attempt"


class Credential(BaseModel):
    """A valid token, without its text. Times are seconds since the epoch.

    `id` is null for an old token without an id. Such a token keeps working. It is listed if it is in the server's home,
    or if it was used since the server started; then `used_at` is the last use.
    """

    id: str | None
    kind: CallerKind
    worker: str | None
    job: str | None
    attempt: int | None
    made_at: float | None
    expires_at: float | None
    ends_with: EndsWith | None
    used_at: float | None = None


class Credentials:
    """Tokens are not stored. Those in the home are read from files; those of workers and ranks are derived from the
    registered workers and current attempts.

    Tokens that browsers got from one-time links are not listed.
    """

    def __init__(self, home: HomeTokens, callers: Callers, registry: WorkerRegistry, jobs: Jobs) -> None:
        self._home = home
        self._callers = callers
        self._registry = registry
        self._jobs = jobs

    def list(self, caller: Caller) -> list[Credential]:
        """The valid tokens: in the home, of registered workers, of running ranks, and old ones in use."""
        absent = NotFound("This installation does not exist.")
        require(caller, Action.TOKENS_READ, InstallationSubject(), absent)
        tokens = [*self._home.present(), *self._of_workers(), *self._of_ranks()]
        known = {token.caller for token in tokens}
        lasting = (CallerKind.USER, CallerKind.JOIN)
        tokens += [Token(one) for one in self._callers.without_id if one.kind in lasting and one not in known]
        return [self._credential(token) for token in tokens]

    def _of_workers(self) -> Iterator[Token]:
        for worker in self._registry.workers():
            yield self._as_used(Token(for_worker(worker.id), worker.registered_at))

    def _of_ranks(self) -> Iterator[Token]:
        for job in self._jobs.unsettled.active():
            if job.attempt is not None:
                yield self._as_used(Token(for_rank(job.id, job.attempt.number), job.attempt.placed_at))

    def _as_used(self, token: Token) -> Token:
        """The list entry for the token of a worker, or of the ranks of an attempt."""
        old = replace(token.caller, credential="")
        return Token(old) if old in self._callers.without_id else token

    def _credential(self, token: Token) -> Credential:
        caller = token.caller
        return Credential(
            id=caller.credential or None,
            kind=caller.kind,
            worker=caller.worker,
            job=caller.job,
            attempt=caller.attempt,
            made_at=token.made_at,
            expires_at=token.expires_at,
            ends_with=_ENDS_WITH.get(caller.kind),
            used_at=self._callers.without_id.get(caller),
        )


_ENDS_WITH = {CallerKind.WORKER: EndsWith.REGISTRATION, CallerKind.RANK: EndsWith.ATTEMPT}
