"""Sessions of browsers: a cookie with a random text, of which only the hash is stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from headway.core.account import Session
from headway.errors import NotAuthenticated, TokenExpired
from headway.server.clock import Clock
from headway.server.directory import Directory, changed
from headway.server.ids import draw_id

PREFIX = "hws_"
SESSION_SECONDS = 30 * 86_400.0
_SECRET_BYTES = 32
_OF_ONE_USER = 50
"""How many sessions one user has; the oldest ends when another begins."""


class Sessions:
    """Begins, finds, renews and ends sessions."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    def knows(self, text: str) -> bool:
        """Whether the text looks like that of a session."""
        return text.startswith(PREFIX)

    def draw(self, user: str | None) -> tuple[Session, str]:
        """A session of a browser that is not stored yet, and the text of its cookie."""
        now, session_id = self._clock.now(), draw_id("s-")
        text = f"{PREFIX}{session_id}.{secrets.token_urlsafe(_SECRET_BYTES)}"
        return Session(
            id=session_id, user=user, sha256=_hash(text), made_at=now, expires_at=now + SESSION_SECONDS
        ), text

    async def begin(self, session: Session) -> None:
        """Store a session. Delete expired ones, and the oldest if the user has too many."""
        now = self._clock.now()
        await self._directory.put(session)
        of_user = [one for one in self._directory.sessions() if one.user == session.user]
        over = [one for one in self._directory.sessions() if one.expires_at <= now]
        for one in {one.id: one for one in [*over, *of_user[:-_OF_ONE_USER]]}.values():
            await self._directory.delete(one)

    def valid(self, text: str) -> Session:
        """The session whose cookie has this text. Raises NotAuthenticated, TokenExpired."""
        session = self._directory.session(text.removeprefix(PREFIX).partition(".")[0])
        if not hmac.compare_digest(session.sha256 if session else "", _hash(text)) or session is None:
            raise NotAuthenticated("This session was ended. Log in again.")
        return self.lasting(session)

    def named(self, session_id: str) -> Session:
        """The session of a command line with that id. Raises NotAuthenticated, TokenExpired."""
        session = self._directory.session(session_id)
        if session is None or session.renewed is None:
            raise NotAuthenticated("This session was ended. Log in again.")
        return self.lasting(session)

    def lasting(self, session: Session) -> Session:
        """The session, unless it has expired. Raises TokenExpired."""
        if session.expires_at <= self._clock.now():
            raise TokenExpired("This session has expired. Log in again.")
        return session

    async def renew(self, session: Session, count: int) -> Session:
        """Renew a session of a command line. `count`: the number of the renewal that made the token.

        A token that was used before ends the session, because another party has it too. Raises NotAuthenticated.
        """
        async with self._directory.changing:
            current = self.named(session.id)
            if current.renewed != count:
                await self._directory.delete(current)
                raise NotAuthenticated("This token to renew was used already, so the session is ended. Log in again.")
            renewed = changed(current, renewed=count + 1)
            await self._directory.put(renewed)
        return renewed


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
