"""One-time links. The person who opens one in a browser is logged in as the user of the installation."""

from __future__ import annotations

import secrets

from headway.errors import NotAuthenticated
from headway.server.access import Action, Caller, CallerKind, require_in_installation
from headway.server.clock import Clock
from headway.server.tokens import Tokens

LINK_SECONDS = 600.0
SESSION_SECONDS = 30 * 86_400


class Links:
    """Tickets in memory. Each works once, within ten minutes."""

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self._expires: dict[str, float] = {}

    def ask(self, caller: Caller) -> str:
        """A new ticket that a user can pass on. Raises NotAllowed."""
        require_in_installation(caller, Action.SESSIONS_WRITE)
        return self.make()

    def make(self) -> str:
        """A new ticket for the person who started the server."""
        now = self._clock.monotonic()
        self._expires = {ticket: expires for ticket, expires in self._expires.items() if expires > now}
        ticket = secrets.token_urlsafe(24)
        self._expires[ticket] = now + LINK_SECONDS
        return ticket

    def redeem(self, ticket: str) -> str:
        """Redeem a ticket for a user's token. Raises NotAuthenticated when it was used or has expired."""
        if self._expires.pop(ticket, 0.0) <= self._clock.monotonic():
            raise NotAuthenticated("This link was already used or has expired. Make a new one with `headway link`.")
        return self._tokens.make(Caller(CallerKind.USER), lifetime_seconds=SESSION_SECONDS)
