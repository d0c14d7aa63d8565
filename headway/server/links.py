"""One-time links. The person who opens one in a browser is logged in as the user of the installation."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from headway.errors import NotAllowed, NotAuthenticated, NotFound
from headway.server.access import Action, Caller, CallerKind, UserSubject, require
from headway.server.clock import Clock
from headway.server.directory import Directory
from headway.server.tokens import Tokens

LINK_SECONDS = 600.0
SESSION_SECONDS = 30 * 86_400


class _Ticket(NamedTuple):
    expires: float
    user: str | None


class Links:
    """Tickets in memory. Each works once, within ten minutes."""

    def __init__(self, tokens: Tokens, directory: Directory, clock: Clock) -> None:
        self._tokens = tokens
        self._directory = directory
        self._clock = clock
        self._tickets: dict[str, _Ticket] = {}

    def ask(self, caller: Caller) -> str:
        """A new ticket, which opens a session of the caller. Raises NotAllowed."""
        require(caller, Action.SESSIONS_WRITE, UserSubject(caller.user, caller.user_name), NotFound("You are gone."))
        user = self._directory.user(caller.user) if caller.user is not None else None
        if user is not None and user.service:
            raise NotAllowed(f"User {user.id} is a service account, which cannot log in.")
        return self.make(caller.user)

    def make(self, user: str | None = None) -> str:
        """A new ticket for a user, by the `uid`; None: for whoever started the server."""
        now = self._clock.monotonic()
        self._tickets = {text: ticket for text, ticket in self._tickets.items() if ticket.expires > now}
        text = secrets.token_urlsafe(24)
        self._tickets[text] = _Ticket(now + LINK_SECONDS, user)
        return text

    def redeem(self, text: str) -> str:
        """Use a ticket up: the token of a user's session. Raises NotAuthenticated when it was used, or expired."""
        ticket = self._tickets.pop(text, None)
        if ticket is None or ticket.expires <= self._clock.monotonic():
            raise NotAuthenticated("This link was used already, or is too old. Make a new one with `headway link`.")
        return self._tokens.make(Caller(CallerKind.USER, user=ticket.user), lifetime_seconds=SESSION_SECONDS)
