"""Signed tokens. A token contains its id, its caller, when it was made, and when it expires, if it does."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from itsdangerous import BadSignature, URLSafeSerializer

from headway.errors import NotAuthenticated, TokenExpired
from headway.server.access import Caller, CallerKind

_ID_BYTES = 9


@dataclass(frozen=True)
class Token:
    """The contents of a token; `caller.credential` is its id. Times are seconds since the epoch.

    Old tokens have no id and no times. They do not expire.
    """

    caller: Caller
    made_at: float | None = None
    expires_at: float | None = None


class Tokens:
    """Makes and reads tokens. The signature is an HMAC, compared in constant time."""

    def __init__(self, secret: str, now: Callable[[], float]) -> None:
        self._now = now
        self.use(secret)

    def use(self, secret: str) -> None:
        """Sign with this secret from now on."""
        self.secret = secret
        self._serializer = URLSafeSerializer(secret, salt="headway.token.1")

    def make(self, caller: Caller, *, made_at: float | None = None, lifetime_seconds: float | None = None) -> str:
        """The token of a caller. Its id is the caller's `credential`, or a new one.

        `made_at`: now by default. Without `lifetime_seconds` the token does not expire by time.
        """
        made = self._now() if made_at is None else made_at
        expires = None if lifetime_seconds is None else made + lifetime_seconds
        token_id = caller.credential or f"t-{secrets.token_urlsafe(_ID_BYTES)}"
        fields = [caller.kind.value, caller.worker, caller.job, caller.attempt, token_id, made, expires, caller.user]
        if caller.allocation is not None:
            fields.append(caller.allocation)
        return "hw_" + str(self._serializer.dumps(fields))

    def read(self, text: str) -> Token:
        """The contents of a token, even of an expired one.

        Raises NotAuthenticated when this installation did not sign it.
        """
        try:
            kind, worker, job, attempt, *rest = self._serializer.loads(text.removeprefix("hw_"))
            token_id, made_at, expires_at, user, allocation = [*(rest or ("", None, None)), None, None][:5]
            caller = Caller(CallerKind(kind), worker, job, attempt, token_id, user, allocation)
            return Token(caller, made_at, expires_at)
        except (BadSignature, ValueError, TypeError) as error:
            raise NotAuthenticated("The token is not valid for this installation. Use the one in its home.") from error

    def caller(self, text: str) -> Caller:
        """The caller in a token. Raises NotAuthenticated, TokenExpired."""
        return self.valid(text).caller

    def valid(self, text: str) -> Token:
        """The content of a token that has not expired. Raises NotAuthenticated, TokenExpired."""
        token = self.read(text)
        if token.expires_at is not None and token.expires_at <= self._now():
            raise TokenExpired(
                f"This {token.caller.kind} token ({token.caller.credential}) expired on {_date(token.expires_at)}. "
                f"{_REMEDY[token.caller.kind]}"
            )
        return token


_REMEDY = {
    CallerKind.USER: "Copy the current user.token from the server's home; in a browser, open a new link.",
    CallerKind.JOIN: "Copy the current worker.token from the server's home.",
    CallerKind.SEAT: "It is not needed any more.",
    CallerKind.WORKER: "Register again.",
    CallerKind.RANK: "It is no longer needed.",
}


def for_worker(worker_id: str) -> Caller:
    """A worker, with its only token, which is valid as long as the registration."""
    return Caller(CallerKind.WORKER, worker=worker_id, credential=f"t-{worker_id}")


def for_allocation(allocation: str) -> Caller:
    """The machines of an allocation, with their one token: it holds until the allocation is released."""
    return Caller(CallerKind.SEAT, credential=f"t-{allocation}", allocation=allocation)


def for_rank(job_id: str, attempt: int) -> Caller:
    """The ranks of an attempt, with their only token, which is valid as long as the attempt."""
    return Caller(CallerKind.RANK, job=job_id, attempt=attempt, credential=f"t-{job_id}-{attempt}")


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
