"""One-time links. The person who opens one in a browser is logged in."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from headway.errors import NotAllowed, NotAuthenticated, NotFound
from headway.server.access import Action, Caller, UserSubject, require
from headway.server.clock import Clock
from headway.server.directory import Directory

LINK_SECONDS = 600.0


class _Code(NamedTuple):
    expires: float
    user: str | None


class Links:
    """Their codes, in memory. Each works once, within ten minutes."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._codes: dict[str, _Code] = {}

    def ask(self, caller: Caller) -> str:
        """A new code, which begins a session of the caller. Raises NotAllowed."""
        require(caller, Action.SESSIONS_WRITE, UserSubject(caller.user, caller.user_name), NotFound("You are gone."))
        user = self._directory.user(caller.user) if caller.user is not None else None
        if user is not None and user.service:
            raise NotAllowed(f"User {user.id} is a service account, which cannot log in.")
        return self.make(caller.user)

    def make(self, user: str | None = None) -> str:
        """A new code for a user, by the `uid`; None: for whoever started the server."""
        now = self._clock.monotonic()
        self._codes = {text: code for text, code in self._codes.items() if code.expires > now}
        text = secrets.token_urlsafe(24)
        self._codes[text] = _Code(now + LINK_SECONDS, user)
        return text

    def redeem(self, text: str) -> str | None:
        """Use a code up: whose session it begins. Raises NotAuthenticated when it was used, or expired."""
        code = self._codes.pop(text, None)
        if code is None or code.expires <= self._clock.monotonic():
            raise NotAuthenticated("This link was used already, or is too old. Make a new one with `headway link`.")
        return code.user
