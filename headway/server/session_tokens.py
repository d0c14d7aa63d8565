"""The tokens of a command line that is logged in: a JWT of 15 minutes, and a refresh token that works once."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from itsdangerous import BadSignature, URLSafeSerializer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from headway.core.account import Session
from headway.errors import NotAuthenticated, TokenExpired
from headway.server.clock import Clock
from headway.server.tokens import Tokens

ACCESS_SECONDS = 900.0
REFRESH_PREFIX = "hwr_"
_ALGORITHM = "HS256"
_AUDIENCE = "headway"


class SessionTokens(NamedTuple):
    """The text of both tokens, and how long the first one is valid."""

    access: str
    refresh: str
    valid_seconds: float


class Renewal(NamedTuple):
    """The content of a refresh token: its session, and how often the session was renewed before."""

    session: str
    number: int


class SessionSigner:
    """Makes and reads tokens (RFC 7519). The keys are derived from the installation's secret."""

    def __init__(self, tokens: Tokens, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock

    def looks_like_access(self, text: str) -> bool:
        """Whether the text looks like a JWT."""
        return text.startswith("eyJ") and text.count(".") == 2

    def sign(self, session: Session) -> SessionTokens:
        """The tokens of a session as it is now. The JWT ends with the session at the latest."""
        now = self._clock.now()
        expires = min(now + ACCESS_SECONDS, session.expires_at)
        claims = {"aud": _AUDIENCE, "sub": session.user or "", "sid": session.id, "iat": int(now), "exp": int(expires)}
        access = jwt.encode({"alg": _ALGORITHM, "typ": "JWT"}, claims, self._key(), algorithms=[_ALGORITHM])
        refresh = str(self._serializer().dumps([session.id, session.renewed]))
        return SessionTokens(access, REFRESH_PREFIX + refresh, expires - now)

    def session_of(self, access: str) -> str:
        """The id of a JWT's session. Raises NotAuthenticated, TokenExpired."""
        try:
            claims = jwt.decode(access, self._key(), algorithms=[_ALGORITHM]).claims
            audience, expires, session = claims["aud"], float(claims["exp"]), str(claims["sid"])
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise NotAuthenticated("The token is not one of this installation.") from error
        if audience != _AUDIENCE:
            raise NotAuthenticated("The token is not one of this installation.")
        if expires <= self._clock.now():
            raise TokenExpired("This token has expired after 15 minutes. Renew it, or log in again: headway login URL")
        return session

    def renewal(self, refresh: str) -> Renewal:
        """Read a refresh token. Raises NotAuthenticated if this installation did not make it."""
        try:
            session, count = self._serializer().loads(refresh.removeprefix(REFRESH_PREFIX))
            return Renewal(str(session), int(count))
        except (BadSignature, ValueError, TypeError) as error:
            raise NotAuthenticated("This token renews nothing here. Log in again: headway login URL") from error

    def _key(self) -> OctKey:
        return OctKey.import_key(hashlib.sha256(f"headway.jwt.1 {self._tokens.secret}".encode()).digest())

    def _serializer(self) -> URLSafeSerializer:
        return URLSafeSerializer(self._tokens.secret, salt="headway.refresh.1")
