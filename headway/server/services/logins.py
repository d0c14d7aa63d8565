"""Logging in: a one-time code or a token begins a session."""

from __future__ import annotations

from typing import NamedTuple

from headway.core.account import Session
from headway.errors import NotAllowed, NotFound
from headway.server.access import Action, Caller, CallerKind, UserSubject, detail, require
from headway.server.callers import Callers, revocation_id
from headway.server.directory import Directory
from headway.server.links import Links
from headway.server.sessions import Sessions
from headway.server.tokens import Tokens


class Login(NamedTuple):
    """Who is logged in, the session, and the text of its cookie."""

    caller: Caller
    session: Session
    text: str


class Logins:
    """A session never allows more than what opened it, and ends with it."""

    def __init__(
        self, links: Links, sessions: Sessions, callers: Callers, directory: Directory, tokens: Tokens
    ) -> None:
        self._links = links
        self._sessions = sessions
        self._callers = callers
        self._directory = directory
        self._tokens = tokens

    async def by_code(self, code: str) -> Login:
        """Begin a session by the code of a one-time link. Raises NotAuthenticated, NotAllowed."""
        session, text = self._sessions.draw(self._links.redeem(code))
        return await self._begin(session, text, "by a one-time link")

    async def by_token(self, token: str) -> Login:
        """Begin a session by a user's token. Raises NotAuthenticated, TokenExpired, NotAllowed."""
        opener = self._callers.of(token)
        if opener.kind is not CallerKind.USER or self._sessions.knows(token):
            raise NotAllowed("Only a token of a user opens a session.")
        session, text = self._sessions.draw(opener.user)
        stored = self._directory.token(opener.credential)
        expires_at = stored.expires_at if stored is not None else self._tokens.read(token).expires_at
        limits = {
            "token": stored.id if stored is not None else None,
            "signed_token": revocation_id(opener) if stored is None else None,
            "expires_at": session.expires_at if expires_at is None else min(session.expires_at, expires_at),
        }
        return await self._begin(session.model_copy(update=limits), text, f"by token {opener.credential}")

    async def _begin(self, session: Session, text: str, how: str) -> Login:
        caller = self._callers.of_session(session)
        user = self._directory.user(caller.user) if caller.user is not None else None
        if user is not None and user.service:
            raise NotAllowed(f"User {user.id} is a service account, which cannot log in.")
        require(caller, Action.ACCOUNT_ENTER, UserSubject(caller.user, caller.user_name), NotFound("You are gone."))
        detail(how)
        await self._sessions.begin(session)
        return Login(caller, session, text)
