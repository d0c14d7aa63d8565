"""One-time links: whoever opens one in a browser is that installation's user."""

from __future__ import annotations

import secrets

from headway.errors import NotAuthenticated
from headway.server.access import Action, Caller, CallerKind, require_in_installation
from headway.server.clock import Clock
from headway.server.tokens import Tokens

LINK_SECONDS = 600.0
SESSION_SECONDS = 30 * 86_400


class Links:
    """Tickets in memory. Each opens once, and for ten minutes only."""

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self._expires: dict[str, float] = {}

    def ask(self, caller: Caller) -> str:
        """A new ticket for whom a user gives it to. Raises NotAllowed."""
        require_in_installation(caller, Action.SESSIONS_WRITE)
        return self.make()

    def make(self) -> str:
        """A new ticket, for whoever started the server."""
        now = self._clock.monotonic()
        self._expires = {ticket: expires for ticket, expires in self._expires.items() if expires > now}
        ticket = secrets.token_urlsafe(24)
        self._expires[ticket] = now + LINK_SECONDS
        return ticket

    def redeem(self, ticket: str) -> str:
        """Use a ticket up: the token of a user's session. Raises NotAuthenticated when it was used, or expired."""
        if self._expires.pop(ticket, 0.0) <= self._clock.monotonic():
            raise NotAuthenticated("This link was used already, or is too old. Make a new one with `headway link`.")
        return self._tokens.make(Caller(CallerKind.USER), lifetime_seconds=SESSION_SECONDS)
