"""Sessions: log in, show the current user, log out."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from headway.server.access import Action
from headway.server.api.common import CallerHere, ServerHere, address_of
from headway.server.api.cookies import delete_cookie, set_cookie
from headway.server.api.routes import Allow, guarded_router
from headway.server.api.users import Account, account_of
from headway.server.services.logins import Proof
from headway.server.session_tokens import SessionTokens

router = guarded_router(prefix="/session", tags=["session"])
ENTER = [Depends(Allow(Action.ACCOUNT_ENTER, maximum_body_bytes=16 << 10))]
Secret = Annotated[str, Field(min_length=1, max_length=1_000)]


class NewSession(BaseModel):
    """The input of a login: the `code` of a one-time link, a `token`, `user` and `password`, or an `invitation` and the
    new `password`.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    code: Secret | None = Field(default=None, repr=False)
    token: Secret | None = Field(default=None, repr=False)
    user: Secret | None = None
    invitation: Secret | None = Field(default=None, repr=False)
    password: Secret | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _is_one_proof(self) -> NewSession:
        given = [one for one in ("code", "token", "user", "invitation") if getattr(self, one) is not None]
        if len(given) != 1 or (self.password is not None) is not (given[0] in ("user", "invitation")):
            raise ValueError("give a code, or a token, or a user and a password, or an invitation and a new password")
        return self

    @property
    def proof(self) -> Proof:
        """The input as the service takes it."""
        return Proof(self.code, self.token, self.user, self.invitation, self.password or "")


class Tokens(BaseModel):
    """The tokens of a command line that is logged in. `token` is a JWT that is valid for `valid_seconds`.

    `refresh_token` gets new tokens and works once. A second use means that it was stolen, so it ends the session.
    """

    token: str
    refresh_token: str
    valid_seconds: float


class Renewal(BaseModel):
    """The refresh token."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    refresh_token: Secret = Field(repr=False)


@router.post("", dependencies=ENTER, status_code=201)
async def log_in(new: NewSession, request: Request, response: Response, server: ServerHere) -> Account:
    """Log a browser in. The answer sets a cookie that scripts cannot read. The browser needs no other token.

    A session that a token opened allows what the token allows, and ends with it. Others end after 30 days.
    """
    login = await server.logins.begin(new.proof, address_of(request.scope))
    set_cookie(request, response, login)
    return account_of(login.caller, server)


@router.post("/tokens", dependencies=ENTER, status_code=201)
async def log_in_with_tokens(new: NewSession, request: Request, server: ServerHere) -> Tokens:
    """Log a command line in. The answer has the tokens of its session."""
    return _view(await server.logins.begin_with_tokens(new.proof, address_of(request.scope)))


@router.post("/renew", dependencies=ENTER, status_code=201)
async def renew_tokens(renewal: Renewal, server: ServerHere) -> Tokens:
    """Get new tokens for a refresh token. It works once."""
    return _view(await server.logins.renew(renewal.refresh_token))


@router.get("", dependencies=[Depends(Allow(Action.ACCOUNT_READ))])
async def get_session(caller: CallerHere, server: ServerHere) -> Account:
    """The current user, and what the credential allows."""
    return account_of(caller, server)


@router.delete("", dependencies=[Depends(Allow(Action.ACCOUNT_LEAVE))], status_code=204)
async def log_out(request: Request, response: Response, caller: CallerHere, server: ServerHere) -> None:
    """Log out. The session ends at once, also for open streams. A request with a token revokes the token instead."""
    await server.credentials.leave(caller)
    delete_cookie(request, response)


def _view(tokens: SessionTokens) -> Tokens:
    return Tokens(token=tokens.access, refresh_token=tokens.refresh, valid_seconds=tokens.valid_seconds)
