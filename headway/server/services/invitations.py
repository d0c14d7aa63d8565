"""Invitations: links with which users set their passwords, once."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from headway.core.account import Invitation, User
from headway.errors import NotAllowed, NotAuthenticated, NotFound
from headway.server.access import Action, Caller, InstallationSubject, UserSubject, detail, made, require
from headway.server.clock import Clock
from headway.server.directory import Directory, changed
from headway.server.ids import draw_id
from headway.server.passwords import Passwords

INVITATION_SECONDS = 7 * 86_400.0
_SECRET_BYTES = 24


class Invitations:
    """A user has one at most. It holds for a week, works once, and ends with the next one."""

    def __init__(self, directory: Directory, passwords: Passwords, clock: Clock) -> None:
        self._directory = directory
        self._passwords = passwords
        self._clock = clock

    async def make(self, caller: Caller, name: str) -> tuple[Invitation, str]:
        """Invite a user to set a password, and the text of it. Raises NotFound, NotAllowed."""
        absent = NotFound(f"User {name} does not exist. `headway users` lists those that do.")
        require(caller, Action.USERS_WRITE, InstallationSubject(), absent)
        made(UserSubject("", name))
        detail("invited to set a password")
        async with self._directory.changing:
            user = self._directory.user_named(name)
            if user is None:
                raise absent
            if user.service:
                raise NotAllowed(f"User {name} is a service account, which cannot log in.")
            await self._forget(user)
            invitation_id = draw_id("n-")
            text = f"{invitation_id}.{secrets.token_urlsafe(_SECRET_BYTES)}"
            expires_at = self._clock.now() + INVITATION_SECONDS
            invitation = Invitation(id=invitation_id, user=user.uid, sha256=_hash(text), expires_at=expires_at)
            await self._directory.put(invitation)
        return invitation, text

    async def accept(self, text: str, password: str) -> User:
        """Set the password of the invited user, whose sessions so far end. Raises NotAuthenticated, InvalidInput."""
        self._invited(text)
        hashed = await self._passwords.hash(password)
        async with self._directory.changing:
            user = self._invited(text)  # another request may have accepted it meanwhile
            await self._forget(user)
            accepted = changed(user, password=hashed, sessions_since=self._clock.now())
            await self._directory.put(accepted)
        return accepted

    def _invited(self, text: str) -> User:
        invitation = self._directory.invitation(text.partition(".")[0])
        same = hmac.compare_digest(invitation.sha256 if invitation else "", _hash(text))
        user = self._directory.user(invitation.user) if invitation is not None and same else None
        if invitation is None or user is None or user.disabled or invitation.expires_at <= self._clock.now():
            raise NotAuthenticated("This invitation was used already, or is too old. Ask an administrator for another.")
        return user

    async def _forget(self, user: User) -> None:
        for one in self._directory.invitations():
            if one.user == user.uid:
                await self._directory.delete(one)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
