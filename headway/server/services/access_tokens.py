"""Tokens of which only the hash is stored: personal ones of users, and those that let machines join."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets

from headway.core.account import Scope, StoredToken
from headway.errors import HeadwayError, InvalidInput, NotAllowed, NotAuthenticated, NotFound, TokenExpired
from headway.server.access import Action, Caller, UserSubject, require, require_in_installation
from headway.server.clock import Clock
from headway.server.directory import Directory, changed
from headway.server.ids import draw_id

PREFIX = "hwp_"
_DAY_SECONDS = 86_400.0
_SECRET_BYTES = 32
_LAST_USE_SECONDS = 60.0
_log = logging.getLogger(__name__)


class AccessTokens:
    """Makes them, and knows them again. When one was used last is stored once a minute."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._used: dict[str, float] = {}

    def knows(self, text: str) -> bool:
        """Whether the text looks like one of these tokens."""
        return text.startswith(PREFIX)

    def valid(self, text: str) -> StoredToken:
        """The token that this is the text of, once it is known to hold. Raises NotAuthenticated, TokenExpired."""
        token_id = text.removeprefix(PREFIX).partition(".")[0]
        token = self._directory.token(token_id)
        if not hmac.compare_digest(token.sha256 if token else "", _hash(text)) or token is None:
            raise NotAuthenticated("The token is not one of this installation, or was revoked.")
        now = self._clock.now()
        if token.expires_at is not None and token.expires_at <= now:
            raise TokenExpired(f"Token {token.name} ({token.id}) has expired. Make another: headway tokens add NAME")
        self._used[token.id] = now
        return token

    def last_use(self, token: StoredToken) -> float | None:
        """When the token was used last."""
        return self._used.get(token.id, token.used_at)

    async def add(
        self,
        caller: Caller,
        *,
        name: str,
        user: str | None,
        scopes: tuple[Scope, ...],
        project: str | None,
        days: float | None,
    ) -> tuple[StoredToken, str]:
        """A new personal token and its text, which is stored nowhere. `user`: whose it is; None: the caller's own.

        `days`: None if it does not expire. Raises NotFound, NotAllowed, InvalidInput.
        """
        owner = self._directory.user(caller.user or "") if user is None else self._directory.user_named(user)
        absent = NotFound(f"User {user} does not exist.")
        if owner is None:
            require_in_installation(caller, Action.TOKENS_WRITE)
            if user is not None:
                raise absent
            raise InvalidInput("The token of the server's home is no user's. Name the user that the token is for.")
        require(caller, Action.TOKENS_WRITE, UserSubject(owner.uid, owner.id), absent)
        if not scopes:
            raise InvalidInput("A token needs a scope: read, write or fleet.")
        if project is not None and not (owner.admin or project in owner.roles):
            raise InvalidInput(f"User {owner.id} has no role in project {project}.")
        if project is not None and Scope.FLEET in scopes:
            raise InvalidInput("Workers belong to no project: a token with the scope fleet cannot be for one project.")
        return await self._store(user=owner.uid, name=name, scopes=scopes, project=project, days=days)

    async def add_for_joining(
        self, caller: Caller, *, name: str, days: float | None, maximum_uses: int | None
    ) -> tuple[StoredToken, str]:
        """A new token with which machines register as workers, and its text. Raises NotAllowed."""
        require_in_installation(caller, Action.FLEET_WRITE)
        return await self._store(user=None, name=name, days=days, maximum_uses=maximum_uses)

    async def _store(self, *, days: float | None, **fields: object) -> tuple[StoredToken, str]:
        token_id, now = draw_id("t-"), self._clock.now()
        text = f"{PREFIX}{token_id}.{secrets.token_urlsafe(_SECRET_BYTES)}"
        expires_at = None if days is None else now + days * _DAY_SECONDS
        of_all = {"id": token_id, "sha256": _hash(text), "made_at": now, "expires_at": expires_at}
        token = StoredToken.model_validate({**of_all, **fields})
        await self._directory.put(token)
        return token, text

    async def count_join(self, caller: Caller) -> None:
        """A machine joins by this token. Raises NotAllowed once as many have joined as may."""
        async with self._directory.changing:
            token = self._directory.token(caller.credential)
            if token is None:
                return  # it is signed, and not counted
            if token.maximum_uses is not None and token.uses >= token.maximum_uses:
                raise NotAllowed(
                    f"Token {token.name} ({token.id}) lets {token.maximum_uses} machines join, and as many have. "
                    "Make another: headway tokens add NAME --join"
                )
            await self._directory.put(changed(token, uses=token.uses + 1))

    async def keep_last_uses(self) -> None:
        """Store once a minute, for ever, which tokens were used."""
        while True:
            await asyncio.sleep(_LAST_USE_SECONDS)
            used, self._used = self._used, {}
            for token_id, at in used.items():
                async with self._directory.changing:
                    token = self._directory.token(token_id)
                    try:
                        if token is not None:
                            await self._directory.put(changed(token, used_at=at))
                    except HeadwayError as error:
                        self._used.setdefault(token_id, at)
                        _log.error("The last use of token %s is not stored yet: %s", token_id, error)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
