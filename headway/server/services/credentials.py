"""The verb of credentials: list the tokens that hold."""

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
    """What a token ends with, if not at a time."""

    REGISTRATION = "registration"
    ATTEMPT = "attempt"


class Credential(BaseModel):
    """A token that holds, without its text. Times are seconds since the epoch.

    `id` is null for a token from before tokens had ids; such a one keeps working, and is listed if it is in the
    server's home or was used since the server started, last at `used_at`.
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
    """Tokens are not stored: those in the home are read, those of workers and ranks follow from what is known of them.

    A token that a browser got by a one-time link is not listed.
    """

    def __init__(self, home: HomeTokens, callers: Callers, registry: WorkerRegistry, jobs: Jobs) -> None:
        self._home = home
        self._callers = callers
        self._registry = registry
        self._jobs = jobs

    def list(self, caller: Caller) -> list[Credential]:
        """The tokens that hold: of the home, of registered workers, of ranks at work, and old ones in use."""
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
        """What is listed in place of the one token that a worker, or the ranks of an attempt, have."""
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
