"""Finds the caller of a token, and checks that the token is still valid."""

from __future__ import annotations

from dataclasses import replace

from headway.core.account import Rights, Session, StoredToken, User
from headway.errors import NotAuthenticated, TokenExpired
from headway.server.access import Caller, CallerKind
from headway.server.clock import Clock
from headway.server.directory import Directory
from headway.server.services.access_tokens import AccessTokens
from headway.server.services.jobs import Jobs
from headway.server.services.workers import Workers
from headway.server.session_tokens import SessionSigner
from headway.server.sessions import Sessions
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
        sessions: Sessions,
        signer: SessionSigner,
        workers: Workers,
        jobs: Jobs,
        clock: Clock,
    ) -> None:
        self._tokens = tokens
        self._directory = directory
        self._access_tokens = access_tokens
        self._sessions = sessions
        self._signer = signer
        self._workers = workers
        self._jobs = jobs
        self._clock = clock
        self.without_id: dict[Caller, float] = {}

    def of(self, token: str) -> Caller:
        """Who sends the token, or the cookie of a session. Raises NotAuthenticated, TokenExpired, WorkerLost."""
        if self._sessions.knows(token):
            return self.of_session(self._sessions.valid(token))
        if self._signer.looks_like_access(token):
            return self.of_session(self._sessions.named(self._signer.session_of(token)))
        if self._access_tokens.knows(token):
            stored = self._access_tokens.valid(token)
            if stored.user is None:
                return Caller(CallerKind.JOIN, credential=stored.id)
            user = self._user(stored.user)
            return Caller(CallerKind.USER, credential=stored.id, user=user.uid, rights=rights_of(user, stored))
        return self._of_signed(token)

    def of_session(self, session: Session) -> Caller:
        """Whose session it is, and what it allows. Raises NotAuthenticated, TokenExpired."""
        token = self._directory.token(session.token) if session.token is not None else None
        if session.token is not None and token is None:
            raise TokenExpired("The token that opened this session was revoked. Log in with another.")
        if session.signed_token is not None and self._directory.is_revoked(session.signed_token):
            raise TokenExpired("The token that opened this session was revoked. Log in with another.")
        caller = Caller(CallerKind.USER, credential=session.id, user=session.user)
        if session.user is None:
            return caller
        user = self._user(session.user)
        if session.made_at < user.sessions_since:
            raise TokenExpired("This session was ended. Log in again.")
        return replace(caller, rights=rights_of(user, token))

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


def rights_of(user: User, token: StoredToken | None = None) -> Rights:
    """What a user may do, or what a personal token allows of it."""
    rights = Rights(user.id, user.admin, tuple(user.roles.items()))
    return replace(rights, scopes=frozenset(token.scopes), project=token.project) if token is not None else rights


def revocation_id(caller: Caller) -> str:
    """What a revocation of a signed token names; tokens of a kind that have no id share one."""
    return caller.credential or f"{caller.kind}-without-id"
