"""The verbs of credentials: list the valid tokens, revoke one, or the one that is used."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum

from pydantic import BaseModel

from headway.core.account import Revocation, Scope, StoredToken
from headway.errors import NotFound, Unavailable
from headway.server.access import Action, Caller, CallerKind, UserSubject, detail, require
from headway.server.callers import Callers, revocation_id
from headway.server.clock import Clock
from headway.server.directory import Directory
from headway.server.home_tokens import HomeTokens
from headway.server.services.access_tokens import AccessTokens
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
    or if it was used since the server started; then `used_at` is the last use. `revoke` is the name to revoke it by;
    null for tokens that end with a registration or an attempt. `user`, `name`, `scopes` and `project` belong to
    personal tokens; `uses` counts the machines that joined, at most `maximum_uses`.
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
    revoke: str | None = None
    user: str | None = None
    name: str | None = None
    scopes: tuple[Scope, ...] = ()
    project: str | None = None
    uses: int | None = None
    maximum_uses: int | None = None


class Credentials:
    """The hashes of the tokens that users and administrators make are stored. Other tokens are signed and not stored:
    those in the home are read from files; those of workers and ranks are derived from registrations and attempts.

    Sessions of browsers are not listed.
    """

    def __init__(
        self,
        *,
        home: HomeTokens,
        callers: Callers,
        directory: Directory,
        access_tokens: AccessTokens,
        registry: WorkerRegistry,
        jobs: Jobs,
        clock: Clock,
    ) -> None:
        self._home = home
        self._callers = callers
        self._directory = directory
        self._access_tokens = access_tokens
        self._registry = registry
        self._jobs = jobs
        self._clock = clock

    def list(self, caller: Caller) -> list[Credential]:
        """The tokens that hold: a user's own; an administrator sees all, also those of the home and of workers."""
        require(caller, Action.TOKENS_READ, UserSubject(caller.user, caller.user_name), _absent(""))
        stored = [token for token in self._directory.tokens() if self._is_seen(caller, token)]
        found = [self._of_stored(token) for token in stored]
        if not caller.is_owner and not (caller.rights and caller.rights.admin):
            return found
        tokens = [*self._home.present(), *self._of_workers(), *self._of_ranks()]
        known = {token.caller for token in tokens}
        lasting = (CallerKind.USER, CallerKind.JOIN)
        tokens += [Token(one) for one in self._callers.without_id if one.kind in lasting and one not in known]
        held = [one for one in tokens if not self._directory.is_revoked(revocation_id(one.caller))]
        return [*found, *(self._of_signed(token) for token in held)]

    async def revoke(self, caller: Caller, token_id: str) -> None:
        """Let a token not hold any more, at once. One of the server's home is replaced there by a new one.

        Raises NotFound, also for what the caller may not see and for tokens of workers and ranks, NotAllowed.
        """
        absent = _absent(token_id)
        stored = self._directory.token(token_id)
        if stored is not None:
            owner = self._directory.user(stored.user) if stored.user is not None else None
            require(caller, Action.TOKENS_WRITE, UserSubject(stored.user or "", owner.id if owner else ""), absent)
            detail(f"token {token_id}")
            await self._directory.delete(stored)
            return
        listed = next((one for one in self.list(caller) if one.revoke == token_id), None)
        if listed is None:
            raise absent
        require(caller, Action.TOKENS_WRITE, UserSubject(None, ""), absent)
        detail(f"token {token_id}")
        await self._revoke_signed(token_id)

    async def leave(self, caller: Caller) -> None:
        """Revoke the token, or end the session, that is used to ask for it. Raises NotAllowed."""
        require(caller, Action.ACCOUNT_LEAVE, UserSubject(caller.user, caller.user_name), _absent(""))
        stored = self._directory.session(caller.credential) or self._directory.token(caller.credential)
        if stored is not None:
            await self._directory.delete(stored)
        else:
            await self._revoke_signed(revocation_id(caller))

    async def _revoke_signed(self, token_id: str) -> None:
        await self._directory.put(Revocation(id=token_id, revoked_at=self._clock.now()))
        try:
            await asyncio.to_thread(self._home.replace, token_id)
        except OSError as error:
            raise Unavailable(f"Token {token_id} is revoked, but the home did not get a new one: {error}") from error

    def _is_seen(self, caller: Caller, token: StoredToken) -> bool:
        admin = caller.is_owner or (caller.rights is not None and caller.rights.admin)
        return admin or (token.user is not None and token.user == caller.user)

    def _of_stored(self, token: StoredToken) -> Credential:
        owner = self._directory.user(token.user) if token.user is not None else None
        return Credential(
            id=token.id,
            kind=CallerKind.JOIN if token.user is None else CallerKind.USER,
            worker=None,
            job=None,
            attempt=None,
            ends_with=None,
            made_at=token.made_at,
            expires_at=token.expires_at,
            used_at=self._access_tokens.last_use(token),
            revoke=token.id,
            user=owner.id if owner is not None else None,
            name=token.name,
            scopes=token.scopes,
            project=token.project,
            uses=token.uses if token.user is None else None,
            maximum_uses=token.maximum_uses,
        )

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

    def _of_signed(self, token: Token) -> Credential:
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
            revoke=None if caller.kind in _ENDS_WITH else revocation_id(caller),
        )


def _absent(token_id: str) -> NotFound:
    return NotFound(f"There is no token {token_id} that can be revoked. `headway tokens` lists those that hold.")


_ENDS_WITH = {CallerKind.WORKER: EndsWith.REGISTRATION, CallerKind.RANK: EndsWith.ATTEMPT}
