"""Logging in: a one-time code, a token, a password or an invitation begins a session."""

from __future__ import annotations

from typing import NamedTuple

from headway.core.account import Session, User
from headway.errors import NotAllowed, NotAuthenticated, NotFound
from headway.server.access import Action, Caller, CallerKind, UserSubject, detail, require
from headway.server.callers import Callers, revocation_id
from headway.server.directory import Directory, changed
from headway.server.links import Links
from headway.server.login_limits import LoginLimits, place_of
from headway.server.passwords import Passwords
from headway.server.services.invitations import Invitations
from headway.server.session_tokens import SessionSigner, SessionTokens
from headway.server.sessions import Sessions
from headway.server.tokens import Tokens

_KNOWN_PLACES = 10
WRONG = "The name or the password is wrong, or this account has no password."


class Proof(NamedTuple):
    """The input of a login: a code, a token, a name and a password, or an invitation and a new password."""

    code: str | None = None
    token: str | None = None
    user: str | None = None
    invitation: str | None = None
    password: str = ""


class Login(NamedTuple):
    """Who is logged in, the session, and the text of a browser's cookie."""

    caller: Caller
    session: Session
    text: str


class Logins:
    """A session never allows more than what opened it, and ends with it."""

    def __init__(
        self,
        *,
        links: Links,
        sessions: Sessions,
        callers: Callers,
        directory: Directory,
        tokens: Tokens,
        invitations: Invitations,
        passwords: Passwords,
        limits: LoginLimits,
        signer: SessionSigner,
    ) -> None:
        self._links = links
        self._sessions = sessions
        self._callers = callers
        self._directory = directory
        self._tokens = tokens
        self._invitations = invitations
        self._passwords = passwords
        self._limits = limits
        self._signer = signer

    async def begin(self, proof: Proof, address: str) -> Login:
        """Begin a session of a browser. Raises NotAuthenticated, TokenExpired, NotAllowed, TooManyRequests."""
        session, text, how = await self._drawn(proof, address)
        caller = await self._store(session, how)
        return Login(caller, session, text)

    async def begin_with_tokens(self, proof: Proof, address: str) -> SessionTokens:
        """Begin a session of a command line. Raises what `begin` raises."""
        session, _, how = await self._drawn(proof, address)
        session = session.model_copy(update={"renewed": 0, "sha256": ""})
        await self._store(session, how)
        return self._signer.sign(session)

    async def renew(self, refresh: str) -> SessionTokens:
        """New tokens. The old refresh token stops working. Raises NotAuthenticated, TokenExpired."""
        renewal = self._signer.renewal(refresh)
        session = self._sessions.named(renewal.session)
        caller = self._callers.of_session(session)
        self._check(caller)
        return self._signer.sign(await self._sessions.renew(session, renewal.number))

    async def _drawn(self, proof: Proof, address: str) -> tuple[Session, str, str]:
        """The session that the proof allows, the text of its cookie, and how it began."""
        if proof.token is not None:
            return self._by_token(proof.token)
        if proof.code is not None:
            user, how = self._links.redeem(proof.code), "by a one-time link"
        elif proof.invitation is not None:
            invited = await self._invitations.accept(proof.invitation, proof.password)
            user, how = invited.uid, "by an invitation; the password is new"
        else:
            user, how = (await self._by_password(proof.user or "", proof.password, address)).uid, "by password"
        return *self._sessions.draw(user), how

    async def _by_password(self, name: str, password: str, address: str) -> User:
        """The user of that name. Neither the answer nor its time shows whether the name exists."""
        user = self._directory.user_named(name)
        known = user is not None and place_of(address) in user.known_places
        await self._limits.begin(name, address, known=known)
        matches = await self._passwords.matches(password, user.password if user is not None else None)
        if user is None or not matches or user.disabled or user.service:
            raise NotAuthenticated(WRONG)
        await self._limits.succeed(name, address, known=known)
        if not known:
            async with self._directory.changing:
                current = self._directory.user(user.uid)
                if current is None or current.password != user.password:
                    raise NotAuthenticated(WRONG)  # it was changed meanwhile
                places = (*current.known_places, place_of(address))[-_KNOWN_PLACES:]
                await self._directory.put(changed(current, known_places=places))
        return user

    def _by_token(self, token: str) -> tuple[Session, str, str]:
        opener = self._callers.of(token)
        if opener.kind is not CallerKind.USER or self._directory.session(opener.credential) is not None:
            raise NotAllowed("Only a token of a user opens a session.")
        session, text = self._sessions.draw(opener.user)
        stored = self._directory.token(opener.credential)
        expires_at = stored.expires_at if stored is not None else self._tokens.read(token).expires_at
        limits = {
            "token": stored.id if stored is not None else None,
            "signed_token": revocation_id(opener) if stored is None else None,
            "expires_at": session.expires_at if expires_at is None else min(session.expires_at, expires_at),
        }
        return session.model_copy(update=limits), text, f"by token {opener.credential}"

    async def _store(self, session: Session, how: str) -> Caller:
        caller = self._callers.of_session(session)
        user = self._directory.user(caller.user) if caller.user is not None else None
        if user is not None and user.service:
            raise NotAllowed(f"User {user.id} is a service account, which cannot log in.")
        self._check(caller)
        detail(how)
        await self._sessions.begin(session)
        return caller

    def _check(self, caller: Caller) -> None:
        require(caller, Action.ACCOUNT_ENTER, UserSubject(caller.user, caller.user_name), NotFound("You are gone."))
