"""Finds the caller of a token, and checks that the token is still valid."""

from __future__ import annotations

from dataclasses import replace

from headway.core.account import Rights, User
from headway.errors import NotAuthenticated, TokenExpired
from headway.server.access import Caller, CallerKind
from headway.server.clock import Clock
from headway.server.directory import Directory
from headway.server.services.access_tokens import AccessTokens
from headway.server.services.jobs import Jobs
from headway.server.services.workers import Workers
from headway.server.tokens import Tokens

_REMEMBERED = 1_000


class Callers:
    """A worker's token is valid as long as its registration, a rank's as long as its attempt, others until they expire.

    Every token can be revoked, and none is valid longer than its user. `without_id`: the callers that used a token
    without an id since this server started, and when they used it last.
    """

    def __init__(
        self,
        *,
        tokens: Tokens,
        directory: Directory,
        access_tokens: AccessTokens,
        workers: Workers,
        jobs: Jobs,
        clock: Clock,
    ) -> None:
        self._tokens = tokens
        self._directory = directory
        self._access_tokens = access_tokens
        self._workers = workers
        self._jobs = jobs
        self._clock = clock
        self.without_id: dict[Caller, float] = {}

    def of(self, token: str) -> Caller:
        """Who sends the token. Raises NotAuthenticated, TokenExpired, WorkerLost."""
        if self._access_tokens.knows(token):
            stored = self._access_tokens.valid(token)
            if stored.user is None:
                return Caller(CallerKind.JOIN, credential=stored.id)
            user = self._user(stored.user)
            rights = replace(rights_of(user), scopes=frozenset(stored.scopes), project=stored.project)
            return Caller(CallerKind.USER, credential=stored.id, user=user.uid, rights=rights)
        return self._of_signed(token)

    def _of_signed(self, text: str) -> Caller:
        token = self._tokens.valid(text)
        caller = token.caller
        if self._directory.is_revoked(revocation_id(caller)):
            raise TokenExpired(f"This {caller.kind} token ({caller.credential or 'without id'}) was revoked.")
        if caller.worker is not None:
            self._workers.check_ready(caller.worker)
        if caller.kind is CallerKind.RANK:
            self._check_attempt(caller)
        if caller.user is not None:
            user = self._user(caller.user)
            if (token.made_at or 0.0) < user.sessions_since:
                raise TokenExpired("This session was ended. Log in again.")
            return replace(caller, rights=rights_of(user))
        if not caller.credential and (caller in self.without_id or len(self.without_id) < _REMEMBERED):
            self.without_id[caller] = self._clock.now()
        return caller

    def _user(self, uid: str) -> User:
        user = self._directory.user(uid)
        if user is None:
            raise NotAuthenticated("The user of this token does not exist any more.")
        if user.disabled:
            raise NotAuthenticated(f"User {user.id} is disabled. An administrator can enable it again.")
        return user

    def _check_attempt(self, caller: Caller) -> None:
        job = self._jobs.unsettled.find(caller.job or "")
        attempt = job.attempt if job is not None else None
        if attempt is None or attempt.number != caller.attempt or attempt.ended_at is not None:
            raise TokenExpired(
                f"This token was for attempt {caller.attempt} of job {caller.job}, and expired with it: the attempt "
                "has ended, or is not the current one. Ranks of a new attempt get a new token."
            )


def rights_of(user: User) -> Rights:
    """What a user may do."""
    return Rights(user.id, user.admin, tuple(user.roles.items()))


def revocation_id(caller: Caller) -> str:
    """What a revocation of a signed token names; tokens of a kind that have no id share one."""
    return caller.credential or f"{caller.kind}-without-id"
